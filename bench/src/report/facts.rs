//! Settings and machines, and how two of them differ.

use serde::Serialize;
use serde_json::Value;

use super::html::{Html, Table};
use crate::load::Machine;
use crate::load::outcome::Settings;

/// What was asked for.
pub(super) fn settings(html: &mut Html, settings: &Settings) {
    let mut table = Table::default();
    table.say("system", format!("{} ({})", settings.system, settings.variant));
    match &settings.to {
        Some(to) => table.say("to", format!("{to}; its receivers are not ours")),
        None => table.say("receivers", settings.receivers),
    }
    table.say("payload", format!("{} B", settings.size));
    table.say("rate", format!("{} messages/s", settings.rate));
    table.say(
        "duration",
        format!("{} s, after {} s that do not count", settings.duration_s, settings.warm_up_s),
    );
    table.say("cores", cores(settings.cores));
    html.heading("Settings");
    html.table(&table);
}

/// Which cores a run had.
pub(super) fn cores(cores: Option<[usize; 2]>) -> String {
    match cores {
        Some([sender, receivers]) => format!("{sender} for the sender, {receivers} for the receivers"),
        None => "any".into(),
    }
}

/// What the figures belong to.
pub(super) fn machine(html: &mut Html, machine: &Machine) {
    let told = |text: &str| if text.is_empty() { "not known".to_owned() } else { text.to_owned() };
    let mut table = Table::default();
    table.say("kernel", told(machine.kernel.trim()));
    table.say("processor", told(&machine.cpu));
    table.say("cores", machine.cores);
    table.say("clock source", told(&machine.clock_source));
    table.say("headcast-bench", told(&machine.build));
    for (name, interface) in &machine.interfaces {
        let qdisc = told(&interface.qdisc);
        table.say(format!("interface {name}"), format!("MTU {}, queueing discipline {qdisc}", interface.mtu));
    }
    for (name, value) in &machine.sysctls {
        table.say(name, told(value));
    }
    html.heading("Machine");
    html.table(&table);
    if machine.mitigations.is_empty() {
        return html.aside("The kernel names no leak of the processor that it does something against.");
    }
    html.folded("Mitigations", |html| {
        let mut table = Table::default();
        machine.mitigations.iter().for_each(|(leak, state)| table.say(leak, state));
        html.table(&table);
    });
}

/// A value of the first and of the second, by where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) name: String,
    pub(super) first: String,
    pub(super) second: String,
}

/// Where two of the same kind differ.
pub(super) fn differences(first: &impl Serialize, second: &impl Serialize) -> Vec<Difference> {
    // What was read from JSON can be written as such.
    let first = serde_json::to_value(first).unwrap_or_default();
    let second = serde_json::to_value(second).unwrap_or_default();
    let mut found = Vec::new();
    compare("", &first, &second, &mut found);
    found
}

fn compare(name: &str, first: &Value, second: &Value, found: &mut Vec<Difference>) {
    if first == second {
        return;
    }
    if let (Value::Object(ours), Value::Object(theirs)) = (first, second) {
        let keys: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for key in keys {
            let inner = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
            compare(&inner, &of(ours), &of(theirs), found);
        }
        return;
    }
    let told = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    found.push(Difference { name: name.to_owned(), first: told(first), second: told(second) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_differ_where_they_do() {
        let mut first = Machine { kernel: "6.1".into(), cores: 2, ..Machine::default() };
        first.sysctls.insert("net.core.rmem_max".into(), "1".into());
        assert_eq!(differences(&first, &first), []);
        let mut second = Machine { cores: 4, ..first.clone() };
        second.sysctls.clear();
        let told = |name: &str, first: &str, second: &str| Difference {
            name: name.into(),
            first: first.into(),
            second: second.into(),
        };
        let wanted = [told("cores", "2", "4"), told("sysctls.net.core.rmem_max", "1", "nothing")];
        assert_eq!(differences(&first, &second), wanted);
    }
}
