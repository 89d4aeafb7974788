// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives a program an input file, and takes back what it leaves in its directory "artifacts".

use unsandbox::{Client, Error, Request, SaveArtifact as _};

const CODE: &str = "
total = sum(int(line) for line in open('numbers.txt'))
import os; os.makedirs('artifacts', exist_ok=True)
open('artifacts/total.txt', 'w').write(f'{total}\\n')
print('added up', total)
";

fn main() -> Result<(), Error> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| ".".to_string());
    let client = Client::from_env()?;
    let request = Request::new("python", CODE).input_file("numbers.txt", "1\n2\n39\n");
    let result = client.execute(&request)?;
    print!("{}{}", result.stdout_text(), result.stderr_text());
    for artifact in &result.artifacts {
        artifact.save(&directory)?;
        println!("saved {}, {} bytes", artifact.safe_filename(), artifact.content.len());
    }
    Ok(())
}
