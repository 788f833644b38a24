//! The stand-in is honest until it is told otherwise, lies as it is told, and its ledger says what it did.

#![expect(clippy::disallowed_methods, reason = "the bare client is who is lied to")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use liar::{Act, End, Entry, Fate, Fence, Liar, LineFault, Op, Reply, Rule, Settings, Shown};
use openai::{Class, Client, Create};
use tempfile::TempDir;
use wire::{Batch, BatchStatus, CreateBatch};

struct Rig {
    folder: TempDir,
    liar: Liar,
    client: Client,
}

impl Rig {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let liar = Liar::start(&folder.path().join("liar"));
        let client = client(&liar);
        Self { folder, liar, client }
    }

    async fn upload(&self, lines: usize) -> String {
        let line = |number: usize| {
            format!(
                "{{\"custom_id\":\"r-{number}\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{{\"model\":\"m\",\"input\":\"{number}\"}}}}\n"
            )
        };
        let text: String = (1..=lines).map(line).collect();
        let length = u64::try_from(text.len()).unwrap();
        let body = futures_util::stream::iter([Ok(bytes::Bytes::from(text))]);
        self.client.upload("input.jsonl", length, body, None).await.unwrap().id
    }

    async fn create(&self, file: &str) -> Create {
        let request = CreateBatch {
            input_file_id: file.to_owned(),
            endpoint: "/v1/responses".to_owned(),
            completion_window: "24h".to_owned(),
            metadata: Some(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
            output_expires_after: None,
        };
        self.client.create_batch(&request, || false).await
    }

    /// Creates a batch, and waits until it has ended.
    async fn run(&self, lines: usize) -> Batch {
        let file = self.upload(lines).await;
        let Create::Created(batch) = self.create(&file).await else { panic!("it is created") };
        self.end(&batch.id).await
    }

    async fn end(&self, id: &str) -> Batch {
        loop {
            let batch = self.client.batch(id).await.unwrap();
            if batch.status.is_terminal() {
                return batch;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn lines(&self, file: Option<String>) -> Vec<String> {
        let path = self.folder.path().join("got");
        self.client.download_to(&file.unwrap(), &path).await.unwrap();
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    async fn listed(&self) -> Vec<String> {
        let mut all = Vec::new();
        self.client.each_batch(|batch| all.push(batch.id)).await.unwrap();
        all
    }
}

fn client(liar: &Liar) -> Client {
    let second = Duration::from_secs(1);
    Client::new(openai::Config {
        base_url: liar.base_url().parse().unwrap(),
        api_key: None,
        organization: None,
        project: None,
        connect_timeout: second,
        request_timeout: second,
        idle_timeout: second,
        retries: 0,
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_batch_answers_every_line_and_the_ledger_says_so() {
    let rig = Rig::start();
    let batch = rig.run(3).await;
    assert_eq!(batch.status, BatchStatus::Completed);
    assert_eq!(batch.error_file_id, None);
    assert_eq!(batch.metadata.unwrap()["k"], "v");
    assert_eq!(rig.lines(batch.output_file_id).await.len(), 3);
    let billed = |entry: &Entry| matches!(entry, Entry::Line { billed: true, shown: Shown::Whole, .. });
    assert_eq!(rig.liar.ledger().iter().filter(|entry| billed(entry)).count(), 3);
    assert_eq!(rig.listed().await, [batch.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_lost_and_the_batch_is_there_or_it_is_not() {
    let rig = Rig::start();
    let file = rig.upload(1).await;
    rig.liar.tell(Rule::of(Op::Create).reply(Reply::Drop));
    assert!(matches!(rig.create(&file).await, Create::Ambiguous(_)));
    assert_eq!((rig.listed().await.len(), rig.liar.batches()), (1, 1));
    rig.liar.tell(Rule::of(Op::Create).act(Act::Never).reply(Reply::Drop));
    assert!(matches!(rig.create(&file).await, Create::Ambiguous(_)));
    assert_eq!(rig.liar.batches(), 1);
    // The rule has had its turn.
    assert!(matches!(rig.create(&file).await, Create::Created(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_lands_when_its_client_has_long_gone() {
    let rig = Rig::start();
    let file = rig.upload(1).await;
    rig.liar.tell(Rule::of(Op::Create).act(Act::OnRelease).reply(Reply::Page(504)));
    assert!(matches!(rig.create(&file).await, Create::Ambiguous(_)));
    assert_eq!(rig.listed().await.len(), 0);
    // The input file is deleted meanwhile: the batch comes to be, and fails.
    rig.client.delete_file(&file).await.unwrap();
    rig.liar.release();
    let id = loop {
        if let Some(id) = rig.listed().await.pop() {
            break id;
        }
    };
    assert_eq!(rig.end(&id).await.status, BatchStatus::Failed);
    // Where a deletion fences nothing, it runs.
    rig.liar.set(&Settings { fence: Fence::Nothing, ..Settings::default() });
    let Create::Created(batch) = rig.create(&file).await else { panic!("it is created") };
    assert_eq!(rig.end(&batch.id).await.status, BatchStatus::Completed);
    rig.liar.set(&Settings { fence: Fence::CreateFails, ..Settings::default() });
    assert!(matches!(rig.create(&file).await, Create::Refused(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_refused_cut_torn_and_garbled_from_the_nth_on() {
    let rig = Rig::start();
    let batch = rig.run(1).await;
    let output = batch.output_file_id.clone().unwrap();
    let busy = Reply::Error { status: 429, code: Some("slow_down".to_owned()), retry_after: Some(7) };
    rig.liar.tell(Rule::of(Op::GetBatch).from(2).reply(busy));
    rig.liar.tell(Rule::of(Op::GetBatch).from(3).reply(Reply::CutJson(9)));
    rig.liar.tell(Rule::of(Op::GetBatch).from(4).reply(Reply::Garbage));
    rig.client.batch(&batch.id).await.unwrap();
    let refused = rig.client.batch(&batch.id).await.unwrap_err();
    assert_eq!((refused.status(), refused.retry_after()), (Some(429), Some(Duration::from_secs(7))));
    for _ in 0..2 {
        assert_eq!(rig.client.batch(&batch.id).await.unwrap_err().class(), Class::Retryable);
    }
    for bytes in [0, 1, 40] {
        rig.liar.tell(Rule::of(Op::Content).reply(Reply::CutWire(bytes)));
        let torn = rig.client.download_to(&output, Path::new("/dev/null")).await.unwrap_err();
        assert_eq!(torn.class(), Class::Retryable, "{torn}");
        rig.liar.forget_rules();
    }
    rig.liar.tell(Rule::of(Op::Upload).times(0).refused(503, ""));
    rig.liar.forget_rules();
    rig.upload(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_lags_and_begins_anywhere() {
    let rig = Rig::start();
    rig.liar.set(&Settings { lag_walks: 2, page: 1, shuffled: true, ..Settings::default() });
    let first = rig.run(1).await.id;
    assert_eq!((rig.listed().await.len(), rig.listed().await.len()), (0, 0));
    assert_eq!(rig.listed().await, [first]);
    rig.liar.set(&Settings { page: 1, shuffled: true, ..Settings::default() });
    rig.run(1).await;
    // A walk over single pages shows each once, in another order the next time.
    let (one, other) = (rig.listed().await, rig.listed().await);
    assert_eq!(one.iter().rev().collect::<Vec<_>>(), other.iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_and_lines_end_as_they_are_told() {
    let rig = Rig::start();
    let statuses = ["in_progress", "resting", "validating"].map(str::to_owned).to_vec();
    let faults =
        [LineFault::Http(500), LineFault::Missing, LineFault::Twice, LineFault::Torn, LineFault::StatusZero];
    let lines = (1..).zip(faults).collect();
    let fate = Fate { lines, strangers: 1, statuses: statuses.clone(), ..Fate::default() };
    rig.liar.tell(Rule::of(Op::Create).fate(fate));
    let batch = rig.run(6).await;
    assert_eq!(batch.status, BatchStatus::Completed);
    // The answer, the one that is there twice, the torn one, the one of status 0, and the stranger.
    assert_eq!(rig.lines(batch.output_file_id).await.len(), 6);
    assert_eq!(rig.lines(batch.error_file_id).await.len(), 1);
    let looks = rig
        .liar
        .ledger()
        .iter()
        .filter(|entry| matches!(entry, Entry::Request { op: Op::GetBatch, .. }))
        .count();
    assert!(looks > statuses.len(), "{looks}");

    rig.liar.tell(Rule::of(Op::Create).fate(Fate { end: End::Expires(1), ..Fate::default() }));
    let batch = rig.run(3).await;
    assert_eq!(batch.status, BatchStatus::Expired);
    assert_eq!(rig.lines(batch.output_file_id).await.len(), 1);
    assert_eq!(rig.lines(batch.error_file_id).await.len(), 2);

    let end = End::Fails { code: "token_limit_exceeded".to_owned(), line: None };
    rig.liar.tell(Rule::of(Op::Create).fate(Fate { end, ..Fate::default() }));
    let batch = rig.run(1).await;
    assert_eq!(batch.errors.unwrap().data[0].code.as_deref(), Some("token_limit_exceeded"));
    assert_eq!(batch.output_file_id, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_held_can_be_cancelled() {
    let rig = Rig::start();
    rig.liar.tell(Rule::of(Op::Create).fate(Fate { held: true, ..Fate::default() }));
    let file = rig.upload(2).await;
    let Create::Created(batch) = rig.create(&file).await else { panic!("it is created") };
    rig.client.cancel_batch(&batch.id).await.unwrap();
    let batch = rig.end(&batch.id).await;
    assert_eq!(batch.status, BatchStatus::Cancelled);
    assert!(rig.lines(batch.error_file_id).await[0].contains("batch_cancelled"));
    assert_eq!(rig.client.cancel_batch(&rig.run(1).await.id).await.unwrap_err().status(), Some(409));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_and_no_line_runs_twice() {
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_liar"));
    let liar = Liar::spawn(binary, &folder.path().join("liar"));
    let client = client(&liar);
    let mut rig = Rig { folder, liar, client };
    rig.liar.set(&Settings { line_ms: 20, ..Settings::default() });
    let file = rig.upload(10).await;
    let Create::Created(batch) = rig.create(&file).await else { panic!("it is created") };
    let lines =
        |rig: &Rig| rig.liar.ledger().iter().filter(|entry| matches!(entry, Entry::Line { .. })).count();
    while lines(&rig) < 3 {
        tokio::task::yield_now().await;
    }
    rig.liar.kill_and_restart();
    let batch = rig.end(&batch.id).await;
    assert_eq!(rig.lines(batch.output_file_id).await.len(), 10);
    assert_eq!(lines(&rig), 10);
}
