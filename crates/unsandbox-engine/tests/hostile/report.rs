// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was seen, as one table: a line for each program, a column for each level and user.

use std::time::Duration;

/// The row that tells what the engine itself left.
pub const THE_END: &str = "(the engine ends)";

/// One program in one column, as the column's process writes it.
pub fn line(name: &str, ended: &str, took: Duration, complaints: &[String]) -> String {
    let complaints: Vec<String> =
        complaints.iter().map(|one| one.replace(['\t', '\n'], " ")).collect();
    format!("hostile\t{name}\t{ended}\t{}\t{}", took.as_millis(), complaints.join("\t"))
}

struct Cell {
    program: String,
    ended: String,
    millis: u64,
    complaints: Vec<String>,
}

pub struct Column {
    name: String,
    cells: Vec<Cell>,
}

impl Column {
    pub fn read(name: String, text: &str, came_to_its_end: bool) -> Column {
        let mut cells: Vec<Cell> = text.lines().filter_map(read_cell).collect();
        let whole = cells.last().is_some_and(|last| last.program == THE_END);
        if !came_to_its_end || !whole {
            let after = cells.last().map_or("the start", |last| last.program.as_str());
            let complaint = format!("the host of this column died after {after:?}");
            cells.push(Cell {
                program: THE_END.to_string(),
                ended: String::new(),
                millis: 0,
                complaints: vec![complaint],
            });
        }
        Column { name, cells }
    }
}

impl Column {
    /// What was wrong with a program; `None` if it was not played to its end.
    pub fn complaints(&self, program: &str) -> Option<&[String]> {
        let cell = self.cells.iter().find(|cell| cell.program == program)?;
        Some(&cell.complaints)
    }
}

fn read_cell(line: &str) -> Option<Cell> {
    let mut fields = line.split('\t');
    (fields.next() == Some("hostile")).then_some(())?;
    let (program, ended) = (fields.next()?.to_string(), fields.next()?.to_string());
    let millis = fields.next()?.parse().ok()?;
    let complaints = fields.filter(|one| !one.is_empty()).map(str::to_string).collect();
    Some(Cell { program, ended, millis, complaints })
}

pub struct Report {
    columns: Vec<Column>,
}

impl Report {
    pub fn new() -> Report {
        Report { columns: Vec::new() }
    }

    pub fn add(&mut self, columns: Vec<Column>) {
        self.columns.extend(columns);
    }

    fn count(&self, wanted: impl Fn(&Cell) -> bool) -> usize {
        self.columns.iter().flat_map(|column| &column.cells).filter(|cell| wanted(cell)).count()
    }

    pub fn failed(&self) -> usize {
        self.count(|cell| !cell.complaints.is_empty())
    }

    /// The table, what was wrong, and the counts in the words of every other test program.
    pub fn print(&self) {
        const WIDTH: usize = 24;
        let mut names: Vec<&str> = Vec::new();
        for cell in self.columns.iter().flat_map(|column| &column.cells) {
            if !names.contains(&cell.program.as_str()) && cell.program != THE_END {
                names.push(&cell.program);
            }
        }
        print!("\n{:62}", "hostile program");
        self.columns.iter().for_each(|column| print!("{:WIDTH$}", column.name));
        println!();
        for name in names.into_iter().chain([THE_END]) {
            print!("{name:62}");
            for column in &self.columns {
                let cell = column.cells.iter().find(|cell| cell.program == name);
                let text = match cell {
                    None => "-".to_string(),
                    Some(cell) if !cell.complaints.is_empty() => "FAILED".to_string(),
                    Some(cell) if name == THE_END => format!("nothing left{}", &cell.ended),
                    Some(cell) => format!("{}, {} ms", cell.ended, cell.millis),
                };
                print!("{text:WIDTH$}");
            }
            println!();
        }
        for column in &self.columns {
            for cell in column.cells.iter().filter(|cell| !cell.complaints.is_empty()) {
                println!(
                    "FAILED {}: {}: {}",
                    column.name,
                    cell.program,
                    cell.complaints.join("; ")
                );
            }
        }
        let (failed, all) = (self.failed(), self.count(|_| true));
        let word = if failed == 0 { "ok" } else { "FAILED" };
        println!("\ntest result: {word}. {} passed; {failed} failed; 0 ignored", all - failed);
    }
}
