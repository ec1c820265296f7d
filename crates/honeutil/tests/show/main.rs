//! `honeutil show`, run on recordings made here: what it prints, what it leaves out, how it fails.

mod broken;
mod convert;
mod corrections;
mod cut;
mod export;
mod filters;
mod fixture;
mod foreign;
mod json;
mod links;
mod live;
mod lua;
mod native;
mod notebooks;
mod once;
mod pktap;
mod selection;
mod span;
mod stock;
mod tables;
mod text;
mod tools;
