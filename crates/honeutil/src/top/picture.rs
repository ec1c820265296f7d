//! The screen as a file: plain text, text with colors for a terminal, HTML or SVG. What stands on it is text in each of them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use ratatui::buffer::{Buffer, Cell, CellWidth as _};
use ratatui::style::{Color, Modifier};

use crate::platform::file::create_new;

/// What a file is, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.txt`
    Text,
    /// `.ans`
    Ansi,
    /// `.html`
    Html,
    /// `.svg`
    Svg,
}

impl Format {
    /// What a file of this name is; `None`: it does not say.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" => Some(Self::Text),
            "ans" => Some(Self::Ansi),
            "html" | "htm" => Some(Self::Html),
            "svg" => Some(Self::Svg),
            _ => None,
        }
    }
}

/// Writes the screen to a file that is not there yet.
///
/// # Errors
/// What stands in the way, for whoever has named the file.
pub fn write(path: &Path, screen: &Buffer) -> Result<(), String> {
    let format = Format::of(path).ok_or("the name must end with .svg, .html, .txt or .ans")?;
    let text = render(format, screen);
    let mut file = create_new(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => "it is there already".to_owned(),
        _ => error.to_string(),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| {
        drop(file);
        let _ = std::fs::remove_file(path);
        error.to_string()
    })
}

/// The screen in this format.
#[must_use]
pub fn render(format: Format, screen: &Buffer) -> String {
    match format {
        Format::Text => text(screen),
        Format::Ansi => ansi(screen),
        Format::Html => html(screen),
        Format::Svg => svg(screen),
    }
}

/// Cells beside each other that look alike.
struct Run {
    text: String,
    /// Its first column, and how many there are.
    column: u16,
    width: u16,
    look: Look,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    foreground: Color,
    background: Color,
    is_bold: bool,
    is_dim: bool,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let has = |modifier| cell.modifier.contains(modifier);
        let (mut foreground, mut background) = (cell.fg, cell.bg);
        if has(Modifier::REVERSED) {
            (foreground, background) = (background, foreground);
            if foreground == Color::Reset {
                foreground = BACKGROUND;
            }
            if background == Color::Reset {
                background = FOREGROUND;
            }
        }
        Self { foreground, background, is_bold: has(Modifier::BOLD), is_dim: has(Modifier::DIM) }
    }
}

/// The lines, in runs. Blanks at the end of a line are left out, if nothing is behind them.
fn lines(screen: &Buffer) -> Vec<Vec<Run>> {
    let area = screen.area;
    let mut lines = Vec::new();
    for row in area.top()..area.bottom() {
        let mut runs: Vec<Run> = Vec::new();
        let mut column = area.left();
        while column < area.right() {
            let cell = &screen[(column, row)];
            let (symbol, look) = (cell.symbol(), Look::of(cell));
            // What a wide character covers is no cell of its own.
            let width = symbol.cell_width().clamp(1, area.right() - column);
            match runs.last_mut() {
                Some(run) if run.look == look => {
                    run.text.push_str(symbol);
                    run.width += width;
                }
                _ => runs.push(Run { text: symbol.to_owned(), column: column - area.left(), width, look }),
            }
            column += width;
        }
        if let Some(run) = runs.last_mut().filter(|run| run.look.background == Color::Reset) {
            let kept = run.text.trim_end_matches(' ').len();
            run.width -= u16::try_from(run.text.len() - kept).unwrap_or(0).min(run.width);
            run.text.truncate(kept);
        }
        runs.retain(|run| !run.text.is_empty());
        lines.push(runs);
    }
    lines
}

fn text(screen: &Buffer) -> String {
    let mut out = String::new();
    for line in lines(screen) {
        let line: String = line.iter().map(|run| &*run.text).collect();
        out.push_str(line.trim_end_matches(' '));
        out.push('\n');
    }
    out
}

fn ansi(screen: &Buffer) -> String {
    let mut out = String::new();
    for line in lines(screen) {
        for Run { text, look, .. } in line {
            let mut codes = String::from("\x1b[0");
            if look.is_bold {
                codes.push_str(";1");
            }
            if look.is_dim {
                codes.push_str(";2");
            }
            // As a terminal has its own colors, what is reversed is not a pair of colors.
            if look.foreground == BACKGROUND || look.background == FOREGROUND {
                codes.push_str(";7");
                let color = if look.foreground == BACKGROUND { look.background } else { look.foreground };
                code(color, 30, &mut codes);
            } else {
                code(look.foreground, 30, &mut codes);
                code(look.background, 40, &mut codes);
            }
            let _ = write!(out, "{codes}m{text}\x1b[0m");
        }
        out.push('\n');
    }
    out
}

/// Appends the code of a color (ECMA-48, section 8.3.117).
fn code(color: Color, first: u8, codes: &mut String) {
    if let Some(index) = NAMED.iter().position(|(named, _)| *named == color) {
        let _ = match index {
            0..8 => write!(codes, ";{}", usize::from(first) + index),
            _ => write!(codes, ";{}", usize::from(first) + 60 + index - 8),
        };
    }
}

/// What a picture has where the terminal has its own colors.
const FOREGROUND: Color = Color::Rgb(0xd8, 0xdc, 0xe2);
const BACKGROUND: Color = Color::Rgb(0x16, 0x1a, 0x20);
/// The colors that have numbers in a terminal, in that order, as xterm shows them, but for blue, which is hard to read there.
const NAMED: [(Color, &str); 16] = [
    (Color::Black, "#000000"),
    (Color::Red, "#f4716b"),
    (Color::Green, "#5fc26d"),
    (Color::Yellow, "#d7b64a"),
    (Color::Blue, "#6ea1ff"),
    (Color::Magenta, "#d38ae0"),
    (Color::Cyan, "#4fc3cf"),
    (Color::Gray, "#c3c8cf"),
    (Color::DarkGray, "#7d8590"),
    (Color::LightRed, "#ff9a94"),
    (Color::LightGreen, "#8be09a"),
    (Color::LightYellow, "#f0d27a"),
    (Color::LightBlue, "#9cc1ff"),
    (Color::LightMagenta, "#e7b3f0"),
    (Color::LightCyan, "#8fe3ec"),
    (Color::White, "#ffffff"),
];

fn hex(color: Color) -> String {
    match color {
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        color => {
            let named = NAMED.iter().find(|(named, _)| *named == color);
            named.map_or_else(|| hex(FOREGROUND), |(_, hex)| (*hex).to_owned())
        }
    }
}

/// Text in XML and HTML. What XML does not permit is replaced (XML 1.0, section 2.2).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            _ => out.push(char),
        }
    }
    out
}

const FONT: &str = "ui-monospace, 'Cascadia Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace";

fn html(screen: &Buffer) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>honeutil top</title>\n<style>\nhtml {{ background: {0}; color-scheme: dark }}\npre {{ color: {1}; font: 14px/18px \
         {FONT}; overflow-x: auto }}\n.b {{ font-weight: bold }}\n.d {{ opacity: .65 }}\n</style>\n<pre>\n",
        hex(BACKGROUND),
        hex(FOREGROUND),
    );
    for line in lines(screen) {
        for Run { text, look, .. } in line {
            let mut style = String::new();
            if !matches!(look.foreground, Color::Reset) {
                let _ = write!(style, "color:{};", hex(look.foreground));
            }
            if look.background != Color::Reset {
                let _ = write!(style, "background:{};", hex(look.background));
            }
            let class = class(look);
            if class.is_empty() && style.is_empty() {
                out.push_str(&escaped(&text));
            } else {
                let _ = write!(out, "<span class=\"{class}\" style=\"{style}\">{}</span>", escaped(&text));
            }
        }
        out.push('\n');
    }
    out.push_str("</pre>\n</html>\n");
    out
}

fn class(look: Look) -> &'static str {
    match (look.is_bold, look.is_dim) {
        (true, true) => "b d",
        (true, false) => "b",
        (false, true) => "d",
        (false, false) => "",
    }
}

/// Sizes of a picture, in pixels: a cell, the room around all cells, and from a line's top to the letters' base line.
const CELL_WIDTH: f32 = 8.4;
const CELL_HEIGHT: f32 = 18.0;
const MARGIN: f32 = 12.0;
const BASE: f32 = 13.5;

fn svg(screen: &Buffer) -> String {
    let width = f32::from(screen.area.width) * CELL_WIDTH + 2.0 * MARGIN;
    let height = f32::from(screen.area.height) * CELL_HEIGHT + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.1}\" height=\"{height:.1}\" viewBox=\"0 0 {width:.1} {height:.1}\">\n\
         <title>honeutil top</title>\n<style>text {{ font: 14px {FONT}; fill: {1}; white-space: pre }} .b {{ font-weight: bold }} \
         .d {{ opacity: .65 }}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"{0}\"/>\n",
        hex(BACKGROUND),
        hex(FOREGROUND),
    );
    for (row, line) in (0_u16..).zip(lines(screen)) {
        let top = MARGIN + f32::from(row) * CELL_HEIGHT;
        for Run { text, column, width, look } in line {
            let left = MARGIN + f32::from(column) * CELL_WIDTH;
            let length = f32::from(width) * CELL_WIDTH;
            if look.background != Color::Reset {
                let fill = hex(look.background);
                let _ = writeln!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{CELL_HEIGHT:.1}\" fill=\"{fill}\"/>"
                );
            }
            if text.trim().is_empty() {
                continue;
            }
            let fill = match look.foreground {
                Color::Reset => String::new(),
                color => format!(" style=\"fill:{}\"", hex(color)),
            };
            // Whatever the font's widths are, the columns stay where they are.
            let _ = writeln!(
                out,
                "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
                 xml:space=\"preserve\" class=\"{}\"{fill}>{}</text>",
                top + BASE,
                class(look),
                escaped(&text),
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn screen() -> Buffer {
        let mut screen = Buffer::empty(Rect::new(0, 0, 30, 3));
        screen.set_string(
            0,
            0,
            "  HEAD",
            Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED).fg(Color::Cyan),
        );
        screen.set_string(0, 1, "\u{6f22}<script>&\"'x", Style::new());
        screen.set_string(20, 1, "red", Style::new().fg(Color::Red).add_modifier(Modifier::DIM));
        screen
    }

    #[test]
    fn the_text_is_what_stands_on_the_screen() {
        assert_eq!(render(Format::Text, &screen()), "  HEAD\n\u{6f22}<script>&\"'x      red\n\n");
    }

    #[test]
    fn a_terminal_gets_its_own_colors() {
        assert_eq!(
            render(Format::Ansi, &screen()),
            "\x1b[0;1;7;36m  HEAD\x1b[0m\n\x1b[0m\u{6f22}<script>&\"'x      \x1b[0m\x1b[0;2;31mred\x1b[0m\n\n"
        );
    }

    #[test]
    fn markup_on_the_screen_is_text_in_a_picture() {
        for format in [Format::Html, Format::Svg] {
            let picture = render(format, &screen());
            assert!(picture.contains("\u{6f22}&lt;script&gt;&amp;&quot;&#39;x"), "{picture}");
            assert!(!picture.contains("<script") && !picture.contains('\x1b'), "{picture}");
            assert!(picture.contains("#f4716b") && picture.contains(">red</"), "{picture}");
        }
        let html = render(Format::Html, &screen());
        assert!(html.contains("default-src 'none'"), "{html}");
        assert_eq!(escaped("a\x1b\u{ffff}\u{1}"), "a\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn columns_stay_where_they_are_whatever_the_font() {
        let svg = render(Format::Svg, &screen());
        // Column 20, behind a wide character, of three cells.
        assert!(svg.contains("<text x=\"180.0\" y=\"43.5\" textLength=\"25.2\""), "{svg}");
        assert!(
            svg.contains("<rect x=\"12.0\" y=\"12.0\" width=\"50.4\" height=\"18.0\" fill=\"#4fc3cf\"/>"),
            "{svg}"
        );
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("picture.SVG");
        write(&path, &screen()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), render(Format::Svg, &screen()));
        assert_eq!(write(&path, &screen()).unwrap_err(), "it is there already");
        for name in ["picture", "picture.png", ""] {
            let error = write(&directory.path().join(name), &screen()).unwrap_err();
            assert!(error.contains(".svg"), "{name}: {error}");
        }
        let missing = directory.path().join("no/such.txt");
        let reason = std::fs::File::create(&missing).unwrap_err().to_string();
        assert_eq!(write(&missing, &screen()).unwrap_err(), reason);
    }
}
