//! A server of the REST API beside a night, and whoever speaks to it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::Overnight;

/// What the provider signs its webhooks with.
pub(crate) const SECRET: &str = "whsec_RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c=";

/// A server; killed with this.
pub(crate) struct Api {
    process: Child,
    url: String,
}

impl Api {
    /// Starts one on the same database, with a crash point armed where one is named.
    pub(crate) fn start(home: &Overnight, wish: Option<&str>) -> Self {
        let mut command: Command = home.command(&["serve", "api", "--json"]);
        command.envs([("HTTP_ADDR", "127.0.0.1:0"), ("ADMIN_ADDR", "127.0.0.1:0")]);
        if let Some(wish) = wish {
            command.env("OVERNIGHT_CRASH", wish);
        }
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let mut line = String::new();
        let out = process.stdout.take().expect("its output is piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let url = said["api"].as_str().expect("it says where it is").to_owned();
        Self { process, url }
    }

    /// Another machine that speaks to it.
    pub(crate) fn client(&self, home: &Overnight, token: &str) -> Overnight {
        home.elsewhere().with("OVERNIGHT_URL", &self.url).with("OVERNIGHT_TOKEN", token)
    }

    /// Says, as the provider, that a batch has ended; answers the status, or none where the server is gone.
    pub(crate) fn say_ended(&self, batch: &str) -> Option<u16> {
        let now = crate::laptop::now_ms() / 1_000;
        let body = json!({ "id": "evt_1", "object": "event", "created_at": now, "type": "batch.completed",
            "data": { "id": batch } })
        .to_string();
        let signer = Webhook::new(SECRET).expect("a secret");
        let signature = signer.sign("wh_1", now, body.as_bytes()).expect("text");
        let headers = [
            ("webhook-id", "wh_1"),
            ("webhook-timestamp", &now.to_string()),
            ("webhook-signature", &signature),
        ];
        testkit::post(&format!("{}/hooks/openai", self.url), &headers, &body)
    }

    /// Waits for its end; whether that was by a crash point.
    pub(crate) fn died(&mut self) -> bool {
        self.process.wait().expect("a child of ours").signal() == Some(6)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // It may have ended by itself, which is what the scenario is about.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
