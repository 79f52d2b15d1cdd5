//! What `tilelab footprint` prints.

use serde_json::json;

use super::{Account, Args};
use crate::data::grouped;
use crate::measure::Table;
use crate::mlp::Model;
use crate::program::Role;
use crate::program::footprint::{Change, Footprint, Line};

const ROLES: [(Role, &str); 9] = [
    (Role::Parameter, "parameters"),
    (Role::Input, "input"),
    (Role::Label, "labels"),
    (Role::Activation, "activations"),
    (Role::Backward, "gradients of activations"),
    (Role::Gradient, "gradients of parameters"),
    (Role::Statistic, "running statistics"),
    (Role::OptimizerState, "optimizer state"),
    (Role::Metric, "metrics"),
];

/// The first sums are the notebook's: its formula, its list.
const NOTEBOOKS: usize = 2;

fn role_name(role: Role) -> &'static str {
    ROLES
        .iter()
        .find(|(known, _)| *known == role)
        .map_or("", |(_, name)| name)
}

fn bytes(count: u64) -> String {
    grouped(usize::try_from(count).unwrap_or(usize::MAX))
}

/// `+240`, `-20,000`.
fn signed(by: i128) -> String {
    let sign = if by < 0 { '-' } else { '+' };
    format!("{sign}{}", bytes(u64::try_from(by.unsigned_abs()).unwrap_or(u64::MAX)))
}

pub(super) fn text(args: &Args, model: &Model, accounts: &[Account; 2]) -> String {
    let widths: Vec<String> = model.widths().iter().map(usize::to_string).collect();
    let mut out = format!(
        "{}, batch {}, {}: {} parameters\n",
        widths.join("-"),
        grouped(args.batch),
        args.optimizer,
        grouped(model.parameters()),
    );
    out += "\nBytes of the plain programs by what they are for; a number has 4\n";
    out += &by_role(accounts);
    for account in accounts {
        let name = account.name;
        out += &format!(
            "\n{}: the {} program's buffers, {} flop a run\n",
            capitalised(name),
            account.plain.program,
            bytes(account.flops)
        );
        out += &buffers(&account.plain);
        out += &format!(
            "\n{}: from the notebook to the allocator, every difference by name\n",
            capitalised(name)
        );
        out += &ledger(account);
    }
    out
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn by_role(accounts: &[Account; 2]) -> String {
    let mut table = Table::new(&["", "prediction", "training"]);
    let mut row = |name: &str, of: &dyn Fn(&Account) -> u64| {
        let cells = accounts.iter().map(|account| bytes(of(account)));
        table.row(std::iter::once(name.to_owned()).chain(cells).collect());
    };
    for (role, name) in ROLES {
        row(name, &|account| account.plain.bytes_of(role));
    }
    row("all, each in its own place", &|account| account.plain.bytes());
    row("with reuse of dead buffers", &|account| account.plain.reused_bytes);
    row("most alive at once", &|account| account.plain.peak_bytes);
    if accounts.iter().any(|account| account.plain != account.run) {
        row("fused, each in its own place", &|account| account.run.bytes());
        row("fused, with reuse", &|account| account.run.reused_bytes);
    }
    table.render()
}

fn buffers(footprint: &Footprint) -> String {
    let mut table = Table::new(&["buffer", "size", "type", "bytes", "alive", "offset", "for"]);
    for line in &footprint.lines {
        table.row(vec![
            line.name.clone(),
            format!("{} x {}", line.size.0, line.size.1),
            line.element.to_string(),
            bytes(line.bytes),
            alive(line),
            bytes(line.offset),
            role_name(line.role).to_owned(),
        ]);
    }
    table.render()
}

/// The operations that a buffer is alive in, from 0.
fn alive(line: &Line) -> String {
    line.alive
        .map_or("always".to_owned(), |(first, last)| format!("{first}-{last}"))
}

/// Each sum, and below it what leads to the next.
fn ledger(account: &Account) -> String {
    let mut table = Table::new(&["", "bytes"]);
    for (i, sum) in account.sums.iter().enumerate() {
        // The notebook counts numbers.
        let numbers = if i < NOTEBOOKS {
            format!(" = {} numbers", bytes(sum.bytes() / 4))
        } else {
            String::new()
        };
        table.row(vec![sum.title.clone() + &numbers, bytes(sum.bytes())]);
        let changes = account.sums.get(i + 1).map_or(Vec::new(), |next| sum.changes(next));
        for change in &changes {
            table.row(vec![format!("    {}", why(change, i)), signed(change.by())]);
        }
    }
    let mut text = table.render();
    match &account.not_run {
        Some(error) => text += &format!("not run: {error}\n"),
        None => text += &format!("not named: {} bytes\n", account.unnamed),
    }
    text
}

/// The name, and what the formula did with it: it leads from the formula, sum 0, to the list.
fn why(change: &Change, from: usize) -> String {
    if from == 0 {
        return format!("{}, in the notebook's list and dropped by its formula", change.name);
    }
    change.name.clone()
}

pub(super) fn json(args: &Args, model: &Model, accounts: &[Account; 2]) -> String {
    let mut lines = Vec::new();
    for account in accounts {
        for line in &account.plain.lines {
            lines.push(json!({
                "event": "buffer", "for": account.name, "buffer": line.name, "role": role_name(line.role),
                "rows": line.size.0, "columns": line.size.1, "type": line.element.to_string(), "bytes": line.bytes,
                "alive": line.alive, "offset": line.offset,
            }));
        }
        for (i, sum) in account.sums.iter().enumerate() {
            let changes = account.sums.get(i + 1).map_or(Vec::new(), |next| sum.changes(next));
            let to_next: Vec<_> = changes
                .iter()
                .map(|change| json!({"name": change.name, "from": change.from, "to": change.to}))
                .collect();
            lines.push(json!({
                "event": "sum", "for": account.name, "sum": sum.title, "bytes": sum.bytes(), "to_next": to_next,
            }));
        }
        lines.push(json!({
            "event": "total", "for": account.name, "bytes": account.plain.bytes(),
            "reused_bytes": account.plain.reused_bytes, "peak_bytes": account.plain.peak_bytes,
            "run_bytes": account.run.bytes(), "run_reused_bytes": account.run.reused_bytes, "flops": account.flops,
            "unnamed_bytes": i64::try_from(account.unnamed).ok(),
            "not_run": account.not_run.as_ref().map(ToString::to_string),
        }));
    }
    lines.push(json!({
        "event": "done", "layers": model.widths(), "batch": args.batch, "parameters": model.parameters(),
        "device": args.device.to_string(), "optimizer": args.optimizer.to_string(),
    }));
    lines.iter().map(|line| format!("{line}\n")).collect()
}
