//! A page. Whatever is told on it goes through [`escaped`]: names and errors are of anybody.

use std::fmt::{self, Display, Write};

use super::chart::Svg;

const STYLE: &str = include_str!("page.css");

/// A part of a page.
#[derive(Debug, Default)]
pub(super) struct Html(String);

/// What a block in front of everything else says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Warning,
}

/// Rows with a name, under a head.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A cell, and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    /// Words stand on the left, and may take several lines.
    words: bool,
    look: Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Plain,
    Best,
    Bad,
}

impl Html {
    /// The whole page, and nothing that it would have to load.
    pub(super) fn page(self, title: &str) -> String {
        let (title, body) = (escaped(title), self.0);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
        )
    }

    pub(super) fn title(&mut self, text: impl Display) {
        self.element("h1", text);
    }

    pub(super) fn heading(&mut self, text: impl Display) {
        self.element("h2", text);
    }

    pub(super) fn subheading(&mut self, text: impl Display) {
        self.element("h3", text);
    }

    pub(super) fn paragraph(&mut self, text: impl Display) {
        self.element("p", text);
    }

    /// What is good to know, and no figure.
    pub(super) fn aside(&mut self, text: impl Display) {
        let _ = writeln!(self.0, "<p class=\"soft\">{}</p>", escaped(text));
    }

    /// What a reader must not miss, and why.
    pub(super) fn block(&mut self, tone: Tone, text: impl Display, items: &[String]) {
        let class = match tone {
            Tone::Good => "verdict",
            Tone::Bad => "verdict bad",
            Tone::Warning => "warning",
        };
        let _ = writeln!(self.0, "<div class=\"{class}\"><p>{}</p>", escaped(text));
        self.list(items);
        self.0.push_str("</div>\n");
    }

    pub(super) fn list(&mut self, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.0.push_str("<ul>\n");
        items.iter().for_each(|item| self.element("li", item));
        self.0.push_str("</ul>\n");
    }

    /// What is folded away until it is asked for.
    pub(super) fn folded(&mut self, summary: impl Display, inner: impl FnOnce(&mut Self)) {
        self.0.push_str("<details>");
        self.element("summary", summary);
        inner(self);
        self.0.push_str("</details>\n");
    }

    pub(super) fn figure(&mut self, caption: impl Display, picture: &Svg) {
        let caption = escaped(caption);
        let _ = writeln!(
            self.0,
            "<figure><figcaption>{caption}</figcaption>\n{}</figure>",
            picture.labelled(&caption.to_string())
        );
    }

    pub(super) fn table(&mut self, table: &Table) {
        self.0.push_str("<div class=\"scroll\"><table>\n");
        if !table.caption.is_empty() {
            self.element("caption", &table.caption);
        }
        if !table.head.is_empty() {
            self.0.push_str("<thead><tr>");
            for (at, name) in table.head.iter().enumerate() {
                let words = table.rows.iter().any(|row| row.get(at).is_some_and(|cell| cell.words));
                let class = if words { " class=\"text\"" } else { "" };
                let _ = write!(self.0, "<th scope=\"col\"{class}>{}</th>", escaped(name));
            }
            self.0.push_str("</tr></thead>\n");
        }
        self.0.push_str("<tbody>\n");
        for row in &table.rows {
            self.0.push_str("<tr>");
            for (at, cell) in row.iter().enumerate() {
                let text = escaped(&cell.text);
                let _ = match (at, cell.class()) {
                    (0, _) => write!(self.0, "<th scope=\"row\">{text}</th>"),
                    (_, "") => write!(self.0, "<td>{text}</td>"),
                    (_, class) => write!(self.0, "<td class=\"{class}\">{text}</td>"),
                };
            }
            self.0.push_str("</tr>\n");
        }
        self.0.push_str("</tbody></table></div>\n");
    }

    fn element(&mut self, name: &str, text: impl Display) {
        let _ = writeln!(self.0, "<{name}>{}</{name}>", escaped(text));
    }
}

impl Table {
    pub(super) fn new(caption: impl Into<String>, head: &[&str]) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { caption: caption.into(), head, rows: Vec::new() }
    }

    /// A row of a name and what is said of it.
    pub(super) fn say(&mut self, name: impl Display, text: impl Display) {
        self.rows.push(vec![Cell::number(name), Cell::text(text)]);
    }
}

impl Cell {
    /// A figure, or the name of a row.
    pub(super) fn number(text: impl Display) -> Self {
        Self { text: text.to_string(), words: false, look: Look::Plain }
    }

    /// Words.
    pub(super) fn text(text: impl Display) -> Self {
        Self { text: text.to_string(), words: true, look: Look::Plain }
    }

    /// No figure.
    pub(super) fn none() -> Self {
        Self::number("-")
    }

    /// A figure that does not count, or that nobody wants.
    pub(super) fn bad(self) -> Self {
        Self { look: Look::Bad, ..self }
    }

    /// The best of its column. Said in words as well, for whoever sees no colours.
    pub(super) fn best(self) -> Self {
        Self { text: format!("{} (best)", self.text), look: Look::Best, ..self }
    }

    fn class(&self) -> &'static str {
        match (self.words, self.look) {
            (false, Look::Plain) => "",
            (true, Look::Plain) => "text",
            (false, Look::Best) => "best",
            (true, Look::Best) => "text best",
            (false, Look::Bad) => "bad",
            (true, Look::Bad) => "text bad",
        }
    }

    /// Marked as [`bad`](Self::bad) if it is.
    pub(super) fn bad_if(self, bad: bool) -> Self {
        if bad { self.bad() } else { self }
    }
}

/// What a reader sees exactly as it is, whatever it is.
pub(super) fn escaped(text: impl Display) -> impl Display {
    struct Escaped(String);
    impl Display for Escaped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for char in self.0.chars() {
                match char {
                    '&' => f.write_str("&amp;")?,
                    '<' => f.write_str("&lt;")?,
                    '>' => f.write_str("&gt;")?,
                    '"' => f.write_str("&quot;")?,
                    '\'' => f.write_str("&#39;")?,
                    // No character of a page (HTML, 13.1.2.2): a terminal's colours come with errors.
                    char if char.is_control() && !char.is_whitespace() => f.write_char('\u{fffd}')?,
                    char => f.write_char(char)?,
                }
            }
            Ok(())
        }
    }
    Escaped(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let evil = "<script>alert('\"&\u{1b}[31m\")</script>";
        let mut html = Html::default();
        html.title(evil);
        html.aside(evil);
        html.block(Tone::Bad, evil, &[evil.to_owned()]);
        html.folded(evil, |html| html.paragraph(evil));
        let mut table = Table::new(evil, &[evil]);
        table.rows.push(vec![Cell::number(evil), Cell::text(evil), Cell::number(evil).best()]);
        html.table(&table);
        html.figure(evil, &Svg::empty());
        let page = html.page(evil);
        let body = page.split_once("<body>").expect("a body").1;
        assert!(!body.contains("<script") && !body.contains('\u{1b}') && !body.contains("alert('"), "{body}");
        assert_eq!(
            page.matches("&lt;script&gt;alert(&#39;&quot;&amp;\u{fffd}[31m&quot;)&lt;/script&gt;").count(),
            14
        );
    }
}
