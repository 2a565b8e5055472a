//! The table as text, and its place in the page.

use super::Row;
use super::cells::{MESSAGES, WORLDS};

const BEGIN: &str = "<!-- What follows is written by scripts/reliability. -->";
const END: &str = "<!-- Until here. -->";

/// The page with a new table between its markers.
pub(super) fn with_table(page: &str, rows: &[Row]) -> Result<String, String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or(format!("the page has no {BEGIN} ... {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{}\n{END}{after}", table(rows)))
}

/// One table for each kind of loss.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for bursts in [false, true] {
        let title = if bursts { "Lost in bursts of 8 on average" } else { "Lost each for itself" };
        text += &format!(
            "**{title}**\n\n\
             | mode | mean loss | messages lost, measured | 95 % interval | by the formula | extra bandwidth |\n\
             |---|---:|---:|---:|---:|---:|\n"
        );
        for row in rows.iter().filter(|row| row.cell.bursts == bursts) {
            text += &line(row);
        }
        text += "\n";
    }
    let messages = thousands(WORLDS * MESSAGES);
    text + &format!("Each line is {messages} messages, in {WORLDS} worlds of {}.\n", thousands(MESSAGES))
}

fn line(Row { cell, measured, formula }: &Row) -> String {
    let (low, high) = measured.interval_95();
    let lost = if measured.lost() == 0.0 { "none".into() } else { scientific(measured.lost()) };
    let interval = if low == 0.0 {
        format!("below {}", scientific(high))
    } else {
        format!("{} to {}", scientific(low), scientific(high))
    };
    let formula = formula.map_or_else(|| "-".into(), scientific);
    format!(
        "| {} | {} % | {lost} | {interval} | {formula} | {:.2} % |\n",
        cell.mode.name,
        cell.mean * 100.0,
        measured.extra() * 100.0
    )
}

/// Three digits, as the rest of the documentation writes small shares.
fn scientific(share: f64) -> String {
    format!("{share:.2e}")
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}
