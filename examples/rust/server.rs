// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server that runs a program of each caller: one client for its whole life, and limits on each program.
//! It ends when its standard input does.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use unsandbox::{Client, Limits, Request};

const CODE_MAX: u64 = 65_536;

/// What comes until the caller closes its side is a program; what the program writes goes back.
fn answer(client: &Client, mut caller: TcpStream) -> io::Result<()> {
    let mut code = Vec::new();
    (&caller).take(CODE_MAX).read_to_end(&mut code)?;
    let limits = Limits { memory_bytes: Some(256 << 20), ..Limits::default() };
    let request = Request::new("python", String::from_utf8_lossy(&code)).ttl(5).limits(limits);
    let reply = match client.execute(&request) {
        Ok(result) => [result.stdout, result.stderr].concat(),
        Err(error) => error.to_string().into_bytes(),
    };
    caller.write_all(&reply)
}

fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::from_env()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on port {}", listener.local_addr()?.port());
    for _ in 0..4 {
        let (client, listener) = (client.clone(), listener.try_clone()?);
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                // A caller that has gone away does not concern the others.
                let _ = answer(&client, caller);
            }
        });
    }
    io::copy(&mut io::stdin(), &mut io::sink())?;
    client.close(); // ends the programs that still run
    Ok(())
}
