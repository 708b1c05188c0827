//! The examples of the network: the same source on Linux and in a machine, asked by the example of a client.

use super::Site;
use pith_end_to_end::guest::{Guest, Recipe};
use pith_end_to_end::namespace::run;
use std::net::{Shutdown, TcpStream};

/// Connections that are held at once, messages on each, and their size.
const LOAD: [&str; 3] = ["100", "5", "3000"];

fn listens(guest: &Guest) -> Result<(), String> {
    match guest.output_text().as_str() {
        "listening on port 5555\n" => Ok(()),
        other => Err(format!("the server said {other:?}")),
    }
}

/// Asks as the example of a client does.
fn ask(
    guest: &Guest,
    client: &str,
    [connections, messages, size]: [&str; 3],
) -> Result<(), String> {
    let address = guest.first_address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let said = run(client, &[&host, &port, connections, messages, size])?;
    match said.contains(" came back as they were sent ") {
        true => Ok(()),
        false => Err(format!("the client says: {said}")),
    }
}

/// One connection at a time.
pub fn echo(site: &Site<'_>) -> Result<(), String> {
    let server = site.example("echo/echo.c", "echo")?;
    let client = site.example("echo/client.c", "client")?;
    let recipe = Recipe::new(&[&server], 5555).options(&["-m", "128M"]);
    site.serve(&recipe, listens, |guest| {
        for _ in 0..10 {
            ask(guest, &client, ["1", "20", "3000"])?;
        }
        Ok(())
    })?;
    Ok(())
}

/// A thread for each connection.
pub fn echo_threads(site: &Site<'_>) -> Result<(), String> {
    let server = site.example("echo-threads/echo.c", "echo")?;
    let client = site.example("echo/client.c", "client")?;
    let recipe = Recipe::new(&[&server], 5555).options(&["-m", "128M"]);
    site.serve(&recipe, listens, |guest| {
        // A connection that only waits holds nobody up.
        let idle = TcpStream::connect(guest.first_address()).map_err(|error| error.to_string())?;
        ask(guest, &client, LOAD)?;
        ask(guest, &client, LOAD)?;
        idle.shutdown(Shutdown::Both)
            .map_err(|error| error.to_string())
    })?;
    Ok(())
}
