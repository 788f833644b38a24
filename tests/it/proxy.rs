//! A proxy that the environment names is for servers elsewhere: no key for a server on this machine travels to it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

/// Somebody on this machine who hears what is sent to him, and refuses it.
struct Listener {
    url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let lines = BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                kept.lock().unwrap().push(head.join("\n"));
                let body = r#"{"error":{"message":"no"}}"#;
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 401 Unauthorized\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                // Whoever has asked may have gone.
                let _ = socket.write_all(answer.as_bytes());
            }
        });
        Self { url, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

#[test]
fn a_key_for_a_server_on_this_machine_goes_to_no_proxy() {
    let (proxy, provider, api) = (Listener::start(), Listener::start(), Listener::start());
    let proxied = |overnight: testkit::Overnight| {
        overnight.with("HTTP_PROXY", &proxy.url).with("HTTPS_PROXY", &proxy.url)
    };
    let doctor = proxied(crate::against(&format!("{}/v1", provider.url))).run(&["doctor"]);
    assert_ne!(doctor.code, Some(0), "{}", doctor.stdout);
    let there = proxied(crate::overnight().with("OVERNIGHT_URL", &api.url).with("OVERNIGHT_TOKEN", "on_x"));
    assert_ne!(there.run(&["batch", "list"]).code, Some(0));
    for (server, key) in [(&provider, "Bearer sk-test"), (&api, "Bearer on_x")] {
        let heard = server.heard();
        assert!(heard.iter().any(|request| request.contains(key)), "{heard:?}");
    }
    assert_eq!(proxy.heard(), [] as [&str; 0]);
    // What is elsewhere is reached through it.
    let _ = proxied(crate::against("https://192.0.2.1/v1")).run(&["doctor"]);
    let heard = proxy.heard();
    assert!(!heard.is_empty() && heard.iter().all(|request| request.starts_with("CONNECT 192.0.2.1:443")));
}
