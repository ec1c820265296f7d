//! `honeutil show`, run on recordings made here: what it prints, what it leaves out, how it fails.

mod broken;
mod corrections;
mod cut;
mod filters;
mod fixture;
mod foreign;
mod json;
mod links;
mod live;
mod notebooks;
mod selection;
mod span;
mod stock;
mod text;
mod tools;
