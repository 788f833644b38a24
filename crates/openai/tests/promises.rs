//! What the client promises, against a server that misbehaves over real TCP.

#![expect(clippy::disallowed_methods, reason = "the bare client is what is tested")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use openai::{ApiKey, BoxError, CallError, Class, Client, Config, Create, Newest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use wire::CreateBatch;

const BATCH: &str = r#"{"id":"batch_1","object":"batch","status":"validating","created_at":1}"#;
const FILE: &str =
    r#"{"id":"file-1","object":"file","bytes":6,"created_at":1,"filename":"a.jsonl","purpose":"batch"}"#;
const ENVELOPE: &str = r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"c"}}"#;

/// Answers connections with the scripted bytes, in order, the last one again and again; keeps the requests.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// What a connection gets.
#[derive(Clone)]
enum Reply {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// Nothing, and no end.
    Silence,
}

impl Server {
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut served = 0;
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let reply = replies[served.min(replies.len() - 1)].clone();
                served += 1;
                tokio::spawn(serve(socket, reply, Arc::clone(&kept)));
            }
        });
        Self { url, requests }
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn request(&self, at: usize) -> String {
        self.requests.lock().unwrap()[at].clone()
    }

    fn client(&self) -> Client {
        Client::new(config(&self.url)).unwrap()
    }
}

async fn serve(mut socket: TcpStream, reply: Reply, requests: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut chunk = [0; 65_536];
    while !complete(&request) {
        match socket.read(&mut chunk).await.unwrap() {
            0 => break,
            read => request.extend_from_slice(&chunk[..read]),
        }
    }
    requests.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    match reply {
        Reply::Bytes(bytes) => socket.write_all(&bytes).await.unwrap(),
        Reply::Silence => std::future::pending().await,
    }
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0_usize)
}

fn config(url: &str) -> Config {
    Config {
        base_url: url.parse().unwrap(),
        api_key: Some(ApiKey::new("sk-secret".to_owned()).unwrap()),
        organization: None,
        project: None,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        retries: 2,
    }
}

fn http(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let text =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
    Reply::Bytes(text.into_bytes())
}

fn request() -> CreateBatch {
    CreateBatch {
        input_file_id: "file-1".to_owned(),
        endpoint: "/v1/responses".to_owned(),
        completion_window: "24h".to_owned(),
        metadata: None,
        output_expires_after: None,
    }
}

fn word(create: &Create) -> &'static str {
    match create {
        Create::Created(_) => "created",
        Create::NotSent(_) => "not sent",
        Create::Refused(_) => "refused",
        Create::Ambiguous(_) => "ambiguous",
        Create::TooLate => "too late",
    }
}

#[tokio::test]
async fn a_create_is_sent_once_whatever_becomes_of_it() {
    let cases = [
        ("created", http("200 OK", "", BATCH)),
        ("created", http("201 Created", "", BATCH)),
        ("ambiguous", http("200 OK", "", "{\"id\":\"bat")),
        ("ambiguous", http("200 OK", "", "<html>")),
        ("ambiguous", Reply::Bytes(Vec::new())),
        ("ambiguous", Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id\":".to_vec())),
        ("ambiguous", Reply::Silence),
        ("ambiguous", http("500 Internal Server Error", "", ENVELOPE)),
        ("ambiguous", http("503 Service Unavailable", "retry-after: 1\r\n", ENVELOPE)),
        ("ambiguous", http("408 Request Timeout", "", ENVELOPE)),
        ("ambiguous", http("409 Conflict", "", ENVELOPE)),
        ("ambiguous", http("302 Found", "location: /v1/batches\r\n", "")),
        ("ambiguous", http("400 Bad Request", "", "<html>a proxy's page</html>")),
        ("ambiguous", http("429 Too Many Requests", "", "slow down")),
        ("refused", http("400 Bad Request", "", ENVELOPE)),
        ("refused", http("401 Unauthorized", "", ENVELOPE)),
        ("refused", http("404 Not Found", "", ENVELOPE)),
        ("refused", http("429 Too Many Requests", "retry-after: 7\r\n", ENVELOPE)),
    ];
    for (at, (expected, reply)) in cases.into_iter().enumerate() {
        let server = Server::start(vec![reply]).await;
        let create = server.client().create_batch(&request(), || false).await;
        assert_eq!(word(&create), expected, "case {at}: {create:?}");
        assert_eq!(server.count(), 1, "case {at}");
        if let Create::Refused(error) = create {
            assert_eq!(error.code(), Some("c"), "case {at}");
            assert_eq!(error.retry_after().is_some(), error.status() == Some(429), "case {at}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_never_was_sent_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::new(config(&format!("http://{port}/v1"))).unwrap();
    assert_eq!(word(&client.create_batch(&request(), || false).await), "not sent");
    assert_eq!(client.batch("batch_1").await.unwrap_err().class(), Class::NotSent);
}

#[tokio::test]
async fn a_sleeper_that_wakes_after_its_deadline_sends_nothing() {
    let server = Server::start(vec![http("200 OK", "", BATCH)]).await;
    let create = server.client().create_batch(&request(), || true).await;
    assert_eq!((word(&create), server.count()), ("too late", 0));
}

#[tokio::test]
async fn a_look_is_repeated_where_that_helps() {
    let busy = http("500 Internal Server Error", "", ENVELOPE);
    let server = Server::start(vec![
        busy.clone(),
        http("503 Service Unavailable", "retry-after-ms: 5\r\n", ENVELOPE),
        http("200 OK", "", BATCH),
    ])
    .await;
    assert_eq!(server.client().batch("batch_1").await.unwrap().id, "batch_1");
    assert_eq!(server.count(), 3);
    assert!(server.request(0).starts_with("GET /v1/batches/batch_1 HTTP/1.1"), "{}", server.request(0));

    let server = Server::start(vec![busy]).await;
    assert_eq!(server.client().batch("batch_1").await.unwrap_err().class(), Class::Retryable);
    assert_eq!(server.count(), 3, "the first and two repeats");

    let quota = ENVELOPE.replace("invalid_request_error", "insufficient_quota");
    for (refusal, body) in [("404 Not Found", ENVELOPE), ("429 Too Many Requests", &quota)] {
        let server = Server::start(vec![http(refusal, "", body)]).await;
        let error = server.client().batch("batch_1").await.unwrap_err();
        assert_eq!((error.class(), server.count()), (Class::Refused, 1), "{refusal}");
    }
}

#[tokio::test]
async fn a_look_that_is_one_too_many_is_not_repeated_at_once() {
    let often = || vec![http("429 Too Many Requests", "retry-after-ms: 5\r\n", ENVELOPE)];
    let server = Server::start(often()).await;
    let error = server.client().batch("batch_1").await.unwrap_err();
    assert!(error.is_too_often() && error.retry_after() == Some(Duration::from_millis(5)));
    assert_eq!(server.count(), 1);

    let server = Server::start(often()).await;
    let wanted = ["a", "b"].map(str::to_owned).into();
    assert!(server.client().find_batches(wanted, None).await.unwrap_err().is_too_often());
    assert_eq!(server.count(), 1);

    let server = Server::start(often()).await;
    assert!(server.client().each_batch(|_| ()).await.is_err());
    assert_eq!(server.count(), 3, "nobody else repeats a walk");
}

#[tokio::test]
async fn a_walk_is_complete_or_an_error() {
    let page = |id: &str, more: bool| {
        let batch = BATCH.replace("batch_1", id);
        http("200 OK", "", &format!(r#"{{"object":"list","data":[{batch}],"has_more":{more}}}"#))
    };
    let server = Server::start(vec![page("a", true), page("b", true), page("c", false)]).await;
    let mut seen = Vec::new();
    server.client().each_batch(|batch| seen.push(batch.id)).await.unwrap();
    assert_eq!(seen, ["a", "b", "c"]);
    assert!(server.request(1).starts_with("GET /v1/batches?limit=100&after=a "), "{}", server.request(1));

    // A page that fails fails the walk; a server that ignores `after` doesn't hold us for ever.
    let server = Server::start(vec![page("a", true), http("404 Not Found", "", ENVELOPE)]).await;
    assert!(server.client().each_batch(|_| {}).await.is_err());
    let server = Server::start(vec![page("a", true)]).await;
    assert!(server.client().each_batch(|_| {}).await.unwrap_err().to_string().contains("don't end"));
    assert_eq!(server.count(), 2);

    // Nor is it taken for the whole where it doesn't say whether it goes on, or where to.
    for page in [r#"{"data":[],"has_more":true}"#, r#"{"data":[]}"#] {
        let server = Server::start(vec![http("200 OK", "", page)]).await;
        assert!(server.client().each_batch(|_| {}).await.is_err(), "{page}");
    }
}

#[tokio::test]
async fn a_download_for_which_the_disk_has_no_room_is_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    // Whatever half of the file it begins with is on a device that is always full.
    for number in 0..100 {
        let half = folder.path().join(format!("out.jsonl.{}-{number}.part", std::process::id()));
        std::os::unix::fs::symlink("/dev/full", half).unwrap();
    }
    let server = Server::start(vec![http("200 OK", "", "an answer")]).await;
    let error = server.client().download_to("file-1", &path).await.unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_torn_download_is_not_accepted() {
    let body = "x".repeat(2_000);
    let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    for cut in (whole.len() - body.len()..whole.len()).step_by(37) {
        let server = Server::start(vec![Reply::Bytes(whole.as_bytes()[..cut].to_vec())]).await;
        let mut config = config(&server.url);
        config.retries = 0;
        let client = Client::new(config).unwrap();
        assert!(client.download_to("file-1", &path).await.is_err(), "cut at {cut}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "cut at {cut}");
    }
    // Torn once, whole the second time.
    let torn = Reply::Bytes(whole.as_bytes()[..whole.len() - 1].to_vec());
    let server = Server::start(vec![torn, Reply::Bytes(whole.clone().into_bytes())]).await;
    let done = server.client().download_to("file-1", &path).await.unwrap();
    assert_eq!((done.bytes, server.count()), (2_000, 2));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), body);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // Two at once, as where a lease ran out, write two halves: neither makes a hole in the other's.
    let replies = ["y", "z"].map(|letter| Reply::Bytes(whole.replace('x', letter).into_bytes()));
    let server = Server::start(replies.to_vec()).await;
    let client = server.client();
    let (one, two) = tokio::join!(client.download_to("file-1", &path), client.download_to("file-1", &path));
    assert_eq!((one.unwrap().bytes, two.unwrap().bytes), (2_000, 2_000));
    let last = std::fs::read_to_string(&path).unwrap();
    assert!(last == body.replace('x', "y") || last == body.replace('x', "z"), "one of them whole");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn an_upload_streams_with_its_length() {
    let server = Server::start(vec![http("200 OK", "", FILE)]).await;
    let chunks = ["abc", "def"].map(|text| Ok::<_, openai::BoxError>(Bytes::from_static(text.as_bytes())));
    let body = futures_util::stream::iter(chunks);
    let uploaded = server.client().upload("a.jsonl", 6, body, Some(3_600)).await.unwrap();
    assert_eq!(uploaded.id, "file-1");
    let request = server.request(0).to_lowercase();
    for part in [
        "content-length: ",
        "name=\"purpose\"\r\n\r\nbatch",
        "name=\"expires_after[anchor]\"",
        "filename=\"a.jsonl\"",
        "abcdef",
    ] {
        assert!(request.contains(part), "{part} is not in {request}");
    }
    assert!(!request.contains("transfer-encoding"));
}

/// Uploads a body in chunks to `url`, and says how long that took.
async fn upload(url: &str, chunks: Vec<Bytes>, pause: Duration) -> (Result<String, CallError>, Duration) {
    let (client, length) = (Client::new(config(url)).unwrap(), chunks.iter().map(Bytes::len).sum::<usize>());
    let body = stream::iter(chunks).then(move |chunk| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, BoxError>(chunk)
    });
    let upload = client.upload("a.jsonl", u64::try_from(length).unwrap(), body, None);
    let started = Instant::now();
    let uploaded = tokio::time::timeout(Duration::from_secs(30), upload).await.unwrap();
    (uploaded.map(|file| file.id), started.elapsed())
}

/// The far end of a slow line: takes a little every ten milliseconds, the last third at once, and answers.
async fn slow_server(length: usize) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(128 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut taken, mut tail, mut chunk) = (0, Vec::new(), vec![0; 256 << 10]);
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while !tail.ends_with(b"--\r\n") {
            // What the system keeps of the rest for a server that is slow says nothing about the client.
            if taken < length / 3 * 2 {
                ticks.tick().await;
            }
            let read = socket.read(&mut chunk).await.unwrap();
            assert!(read > 0, "the upload broke off after {taken} bytes");
            tail.extend_from_slice(&chunk[read.saturating_sub(4)..read]);
            tail.drain(..tail.len().saturating_sub(4));
            taken += read;
        }
        let Reply::Bytes(answer) = http("200 OK", "", FILE) else { unreachable!() };
        socket.write_all(&answer).await.unwrap();
    });
    url
}

#[tokio::test]
async fn an_upload_may_take_as_long_as_it_moves() {
    let longest = config("http://127.0.0.1:1").idle_timeout;
    // A body that comes a little at a time.
    let server = Server::start(vec![http("200 OK", "", FILE)]).await;
    let chunks = vec![Bytes::from_static(b"abc"); 10];
    let (uploaded, took) = upload(&server.url, chunks, Duration::from_millis(100)).await;
    assert_eq!(uploaded.unwrap(), "file-1");
    assert!(took > 3 * longest, "{took:?}");
    // A server that takes a little at a time of a chunk that is long.
    let length = 24 << 20;
    let url = slow_server(length).await;
    let (uploaded, took) = upload(&url, vec![Bytes::from(vec![b'x'; length])], Duration::ZERO).await;
    assert_eq!(uploaded.unwrap(), "file-1");
    assert!(took > 3 * longest, "{took:?}");
}

#[tokio::test]
async fn an_upload_that_stands_still_ends() {
    let long = || vec![Bytes::from(vec![b'x'; 64 << 20])];
    let silent = Server::start(vec![Reply::Silence]).await;
    // The system accepts for it, and nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = format!("http://{}/v1", listener.local_addr().unwrap());
    for (case, url, chunks, pause) in [
        ("never answered", &silent.url, vec![Bytes::from_static(b"abc")], Duration::ZERO),
        ("never taken", &deaf, long(), Duration::ZERO),
        ("never given", &silent.url, vec![Bytes::from_static(b"abc")], Duration::from_secs(3_600)),
    ] {
        let (uploaded, took) = upload(url, chunks, pause).await;
        let error = uploaded.unwrap_err();
        assert_eq!(error.class(), Class::Retryable, "{case}");
        assert!(error.to_string().contains("timed out"), "{case}: {error}");
        assert!(took < Duration::from_secs(10), "{case}: {took:?}");
    }
}

#[tokio::test]
async fn a_key_is_sent_and_never_shown() {
    let server = Server::start(vec![http("401 Unauthorized", "", ENVELOPE)]).await;
    let client = server.client();
    let error = client.batch("batch_1").await.unwrap_err();
    assert!(server.request(0).to_lowercase().contains("authorization: bearer sk-secret"));
    assert!(error.is_auth());
    for shown in [
        format!("{error}"),
        format!("{error:?}"),
        format!("{client:?}"),
        format!("{:?}", config(&server.url)),
    ] {
        assert!(!shown.contains("sk-secret"), "{shown}");
    }
    assert!(ApiKey::new(String::new()).is_err());
    assert!(ApiKey::new("two words".to_owned()).is_err());
}

/// Nothing but the key is taken out, and no part of it is left where the message is cut.
#[tokio::test]
async fn a_key_that_the_server_repeats_is_not_shown() {
    let long = format!("{} sk-secret", "x".repeat(193));
    for (status, body, shown) in [
        (
            "401 Unauthorized",
            r#"{"error":{"message":"Received API Key = sk-secret.","type":"key sk-secret","code":"sk-secret"}}"#,
            "HTTP 401 …: Received API Key = …. (request of …)",
        ),
        ("401 Unauthorized", "no key sk-secret here", "HTTP 401: no key … here (request of …)"),
        ("400 Bad Request", &long, &format!("HTTP 400: {} … (request of …)", "x".repeat(193))),
    ] {
        let server = Server::start(vec![http(status, "x-request-id: of sk-secret\r\n", body)]).await;
        let mut config = config(&server.url);
        config.retries = 0;
        let error = Client::new(config).unwrap().batch("batch_1").await.unwrap_err();
        assert!(error.to_string().ends_with(shown), "{error}");
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("sk-s"), "{text}");
        }
    }
    // An answer that can't be read has the same header.
    let server = Server::start(vec![http("200 OK", "x-request-id: sk-secret\r\n", "{")]).await;
    let mut config = config(&server.url);
    config.retries = 0;
    let error = Client::new(config).unwrap().batch("batch_1").await.unwrap_err();
    assert_eq!(error.request_id(), Some("…"));
}

/// PostgreSQL keeps no U+0000, and a write that it refuses would be tried for ever.
#[tokio::test]
async fn what_a_server_says_holds_no_nul() {
    let envelope = r#"{"error":{"message":"a\u0000b \\u0000","type":"t","code":"c\u0000"}}"#;
    for (body, message) in [(envelope, "a\u{fffd}b \\u0000"), ("a\0page", "a\u{fffd}page")] {
        let server = Server::start(vec![http("400 Bad Request", "", body)]).await;
        let mut config = config(&server.url);
        config.retries = 0;
        let error = Client::new(config).unwrap().batch("batch_1").await.unwrap_err();
        assert!(error.to_string().ends_with(&format!(": {message}")), "{error:?}");
        assert!(error.code().is_none_or(|code| code == "c\u{fffd}"), "{error:?}");
    }
    let errors = r#"{"data":[{"code":"\u0000","message":"\\u0000\\\u0000\n"}]}"#;
    let body = BATCH.replace("batch_1", r"b\u0000").replace(r#""id""#, &format!(r#""errors":{errors},"id""#));
    let server = Server::start(vec![http("200 OK", "", &body)]).await;
    let batch = server.client().batch("batch_1").await.unwrap();
    assert_eq!(batch.id, "b\u{fffd}");
    let error = &batch.errors.unwrap().data[0];
    assert_eq!(error.code.as_deref(), Some("\u{fffd}"));
    assert_eq!(error.message.as_deref(), Some("\\u0000\\\u{fffd}\n"));
}

#[test]
fn a_key_does_not_travel_in_the_clear() {
    for (url, allowed) in [
        ("http://127.0.0.1:1/v1", true),
        ("http://localhost/v1", true),
        ("http://[::1]:1/v1", true),
        ("http://api.localhost/v1", false),
        ("https://api.example.com/v1", true),
        ("http://api.example.com/v1", false),
        ("ftp://127.0.0.1/v1", false),
    ] {
        assert_eq!(Client::new(config(url)).is_ok(), allowed, "{url}");
    }
}

#[tokio::test]
async fn newer_files_are_read_back_to_behind_the_newest_known() {
    let page = |files: &[(&str, i64)], more: bool| {
        let file = |(id, at): &(&str, i64)| {
            format!(
                r#"{{"id":"{id}","object":"file","bytes":1,"created_at":{at},"filename":"{id}","purpose":"batch"}}"#
            )
        };
        let data: Vec<String> = files.iter().map(file).collect();
        http("200 OK", "", &format!(r#"{{"object":"list","data":[{}],"has_more":{more}}}"#, data.join(",")))
    };
    let known = Newest { id: "known".to_owned(), created_at: 1_000 };
    let seen = async |pages: Vec<Reply>| {
        let server = Server::start(pages).await;
        let mut seen = Vec::new();
        let newer = server.client();
        newer
            .newer_files(Some("batch"), &known, Duration::from_secs(60), |file| seen.push(file.id))
            .await
            .unwrap();
        assert!(server.request(0).contains("limit=1000&purpose=batch&order=desc "), "{}", server.request(0));
        (seen.join(" "), server.count())
    };
    let rest = || page(&[("older", 10)], false);
    // What turned up late, behind one that was known, is shown; what is older than that isn't read.
    let first = page(&[("new", 1_100), ("known", 1_000), ("late", 950), ("old", 900)], true);
    assert_eq!(seen(vec![first, rest()]).await, ("new known late old".to_owned(), 1));
    // Two that ended together stand the wrong way round.
    let swapped = page(&[("a", 1_100), ("b", 1_105), ("known", 1_000), ("old", 900)], true);
    assert_eq!(seen(vec![swapped, rest()]).await, ("a b known old".to_owned(), 1));
    // The list goes back further than one page.
    let pages = vec![page(&[("new", 1_100), ("known", 1_000)], true), page(&[("late", 950)], true), rest()];
    assert_eq!(seen(pages).await, ("new known late older".to_owned(), 3));
    // What is known is gone, or the oldest come first: everything is read.
    let gone = page(&[("new", 1_100), ("old", 900)], true);
    assert_eq!(seen(vec![gone, rest()]).await, ("new old older".to_owned(), 2));
    let ascending = page(&[("older", 10), ("old", 900), ("known", 1_000)], true);
    assert_eq!(
        seen(vec![ascending, page(&[("new", 20)], false)]).await,
        ("older old known new".to_owned(), 2)
    );
}

#[tokio::test]
async fn the_list_is_read_only_as_long_as_it_is_cheaper_than_single_looks() {
    let page = |ids: &[u32]| {
        let batch = |id: &u32| BATCH.replace("batch_1", &format!("batch_{id}"));
        let data: Vec<String> = ids.iter().map(batch).collect();
        http("200 OK", "", &format!(r#"{{"object":"list","data":[{}],"has_more":true}}"#, data.join(",")))
    };
    let wanted = |ids: &[u32]| ids.iter().map(|id| format!("batch_{id}")).collect();
    // Two of the first page, one of the second: the third is not worth it.
    let server = Server::start(vec![page(&[8, 7, 6]), page(&[5, 4]), page(&[3, 2])]).await;
    let found =
        server.client().find_batches(wanted(&[7, 6, 4, 3, 2]), Some("batch_9".to_owned())).await.unwrap();
    let found: Vec<_> = found.iter().map(|batch| batch.id.as_str()).collect();
    assert_eq!(found, ["batch_7", "batch_6", "batch_4"]);
    assert_eq!(server.count(), 2);
    assert!(server.request(0).contains("after=batch_9") && server.request(1).contains("after=batch_6"));
    // One alone is looked at by itself.
    assert!(server.client().find_batches(wanted(&[7]), Some("batch_9".to_owned())).await.unwrap().is_empty());
    assert_eq!(server.count(), 2);
}
