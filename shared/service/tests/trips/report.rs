//! The measured round trips as a table, and as JSON for who reckons with them (`tests/load/costs.py`).

use serde_json::{Value, json};

use super::plays::Measured;

/// Markdown; what is the same cold and warm is one line.
pub fn table(measured: &[Measured]) -> String {
    let mut lines = vec![
        "| operation | state | requests | ms |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    let is_same = |a: &Measured, b: &Measured| a.what == b.what && a.took == b.took && a.waves() == b.waves();
    for alike in measured.chunk_by(is_same) {
        let states: Vec<&str> = alike.iter().map(|one| one.state).collect();
        let one = &alike[0];
        let waves = one.waves().replace("; ", " → ");
        let milliseconds = one.took.as_millis();
        lines.push(format!(
            "| {} | {} | {waves} | {milliseconds} |",
            one.what,
            states.join(", ")
        ));
    }
    lines.join("\n")
}

/// One object for each line of [`table`], cold and warm apart.
pub fn json(measured: &[Measured]) -> Value {
    let lines = measured.iter().map(|one| {
        json!({"what": one.what, "state": one.state, "milliseconds": one.took.as_millis() as u64,
            "requests": one.counts()})
    });
    Value::Array(lines.collect())
}
