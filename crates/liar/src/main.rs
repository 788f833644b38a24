//! The stand-in as a process of its own: `liar FOLDER [ADDRESS]`. It prints its address and serves until it is
//! killed; started again on its folder it goes on where its ledger ends.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: liar FOLDER [ADDRESS]");
        return ExitCode::from(64);
    };
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = match TcpListener::bind(&address).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("liar can't listen at {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Ok(address) = listener.local_addr() {
        println!("{address}");
        // Whoever started it waits for this line; where nobody does, it serves all the same.
        let _ = std::io::stdout().flush();
    }
    liar::serve(listener, folder).await;
    ExitCode::SUCCESS
}
