//! Lies about uploads, creates, lists and deletions: where money is at stake.

use liar::{Act, End, Fate, Fence, Op, Reply, Rule, Settings};

use super::Lie;

/// Steps of an upload.
const UPLOAD: &[&str] = &["provider.upload", "store.intent"];
/// Steps of a create, and of finding out what became of it.
const CREATE: &[&str] =
    &["provider.create.after", "store.create", "store.reconcile", "store.fence", "provider.delete_file"];

fn error(status: u16, code: &str, retry_after: Option<u64>) -> Reply {
    Reply::Error { status, code: Some(code.to_owned()), retry_after }
}

pub(super) fn uploads() -> Vec<Lie> {
    let upload = |name, act, reply| Lie::new(name, UPLOAD).rule(Rule::of(Op::Upload).act(act).reply(reply));
    vec![
        upload("upload carried out, reply lost", Act::Now, Reply::Drop),
        upload("upload lost", Act::Never, Reply::Drop),
        upload("upload carried out, 500", Act::Now, error(500, "server_error", None)),
        upload("upload not carried out, page of a proxy", Act::Never, Reply::Page(502)),
        upload("upload carried out, reply cut", Act::Now, Reply::CutJson(12)),
        upload("upload carried out, reply torn", Act::Now, Reply::CutWire(12)),
        // While it isn't there it goes up again, and so it may behind a kill.
        upload("upload carried out late", Act::Late(1_500), Reply::Drop)
            .expect(|expected| expected.spare_files = 2),
        upload("upload hangs", Act::Now, Reply::Hang(2_000)),
        upload("upload refused for now", Act::Never, error(429, "rate_limit_exceeded", Some(1))),
        Lie::new("files can't be listed", UPLOAD)
            .rule(Rule::of(Op::Upload).reply(Reply::Drop))
            .rule(Rule::of(Op::ListFiles).from(2).times(5).reply(error(500, "server_error", None))),
        Lie::new("there is no list of files for a while", UPLOAD)
            .rule(Rule::of(Op::ListFiles).times(2).refused(404, "not_found"))
            .expect(|expected| expected.failures = 2),
        upload("upload carried out, a proxy's 404", Act::Now, Reply::Page(404)),
        Lie::new("the list of files is garbage", UPLOAD)
            .rule(Rule::of(Op::ListFiles).times(3).reply(Reply::Garbage)),
    ]
}

pub(super) fn creates() -> Vec<Lie> {
    let create = |name, act, reply| Lie::new(name, CREATE).rule(Rule::of(Op::Create).act(act).reply(reply));
    vec![
        create("create carried out, reply lost", Act::Now, Reply::Drop),
        create("create carried out, reply lost, at a server with metadata of its own", Act::Now, Reply::Drop)
            .settings(super::odd())
            .expect(|expected| expected.failures = 4),
        create("create lost", Act::Never, Reply::Drop),
        create("create carried out late, before it is looked for", Act::Late(100), Reply::Drop),
        create("create carried out late, while it is looked for", Act::Late(450), Reply::Drop),
        create("create carried out long after its fence", Act::Late(1_500), Reply::Drop),
        create("create carried out, 500", Act::Now, error(500, "server_error", None)),
        create("create not carried out, 500", Act::Never, error(500, "server_error", None)),
        create("create carried out, page of a proxy", Act::Now, Reply::Page(502)),
        create("create not carried out, page of a proxy", Act::Never, Reply::Page(504)),
        create("create carried out, 408", Act::Now, error(408, "timeout", None)),
        create("create carried out, 409", Act::Now, error(409, "conflict", None)),
        create("create carried out, a proxy's 404", Act::Now, Reply::Page(404)),
        create("create carried out, reply cut", Act::Now, Reply::CutJson(30)),
        create("create carried out, reply torn", Act::Now, Reply::CutWire(30)),
        create("create carried out, reply is garbage", Act::Now, Reply::Garbage),
        create("create carried out, no reply", Act::Now, Reply::Hang(2_500)),
        create("create not carried out, no reply", Act::Never, Reply::Hang(2_500)),
        create("create refused for now", Act::Never, error(429, "slow_down", Some(1))).heals(),
        create("create carried out, 429", Act::Now, error(429, "slow_down", Some(1))).heals(),
        Lie::new("create carried out, 429, and its batch fails", CREATE)
            .rule(Rule::of(Op::Create).reply(error(429, "slow_down", Some(1))).fate(Fate {
                end: End::Fails { code: "token_limit_exceeded".to_owned(), line: None },
                ..Fate::default()
            }))
            .heals(),
        Lie::new(
            "create carried out, 429, and no list shows its file",
            &["provider.create.after", "store.create"],
        )
        .rule(Rule::of(Op::Create).reply(error(429, "slow_down", Some(1))))
        .settings(Settings { hide_files: true, ..Settings::default() })
        .expect(|expected| expected.spare_files = 2),
        Lie::new("every create's reply is lost", CREATE)
            .rule(Rule::of(Op::Create).times(0).reply(Reply::Drop)),
        Lie::new("the key is refused", CREATE)
            .rule(Rule::of(Op::Create).times(0).refused(401, "invalid_api_key"))
            .heals(),
        Lie::new("no credit", CREATE)
            .rule(Rule::of(Op::Create).times(0).refused(429, "insufficient_quota"))
            .heals(),
        Lie::new("creates are lost, and a person decides", CREATE)
            .rule(Rule::of(Op::Create).act(Act::Never).reply(Reply::Drop))
            .with("SUBMIT_UNKNOWN", "park")
            .expect(|expected| {
                expected.parked.insert("create_unknown");
            })
            .parks(1),
        // Not crossed with kills: a create that a kill has cut off before it left waits for a person, rightly.
        Lie::new("reply lost, and a person would decide", &[])
            .rule(Rule::of(Op::Create).reply(Reply::Drop))
            .with("SUBMIT_UNKNOWN", "park"),
    ]
}

pub(super) fn lists() -> Vec<Lie> {
    let lost = |name| Lie::new(name, CREATE).rule(Rule::of(Op::Create).reply(Reply::Drop));
    let settings = Settings::default;
    vec![
        lost("new batches are in no list for two walks").settings(Settings { lag_walks: 2, ..settings() }),
        lost("new batches are in no list for a while").settings(Settings { lag_ms: 250, ..settings() }),
        lost("pages of one, beginning anywhere").settings(Settings { page: 1, shuffled: true, ..settings() }),
        lost("a page of the list fails in the midst of a walk")
            .settings(Settings { page: 1, ..settings() })
            .rule(Rule::of(Op::ListBatches).from(3).times(9).reply(error(500, "server_error", None))),
        lost("the list is cut").rule(Rule::of(Op::ListBatches).from(2).times(5).reply(Reply::CutJson(25))),
        lost("the list breaks off").rule(Rule::of(Op::ListBatches).from(2).times(5).reply(Reply::Drop)),
    ]
}

pub(super) fn fences() -> Vec<Lie> {
    let lost = |name, act| Lie::new(name, CREATE).rule(Rule::of(Op::Create).act(act).reply(Reply::Drop));
    let delete = || Rule::of(Op::DeleteFile);
    let fenced = |fence| Settings { fence, ..Settings::default() };
    vec![
        lost("a deletion is refused", Act::Never)
            .rule(delete().times(0).refused(409, "file_in_use"))
            .expect(|expected| {
                expected.parked.insert("fence_refused");
            })
            .parks(1),
        lost("a deletion is carried out, and its reply lost", Act::Never).rule(delete().reply(Reply::Drop)),
        lost("a deletion fails for a while", Act::Never)
            .rule(delete().times(3).act(Act::Never).reply(error(500, "server_error", None))),
        lost("a fence that refuses creates", Act::Late(1_500)).settings(fenced(Fence::CreateFails)),
        lost("a deletion fences nothing, and the create lands behind it", Act::OnDeletion)
            .settings(fenced(Fence::Nothing))
            .lands_behind_a_deletion(),
        // That the batch fails for want of its file uses up no attempt.
        lost("a deletion fences, and the create lands behind it", Act::OnDeletion)
            .with("BATCH_TASK_MAX_ATTEMPTS", "1")
            .lands_behind_a_deletion(),
        // Not crossed with kills: by then the create has landed, and nothing is deleted.
        Lie::new("a deletion is not carried out, a proxy's 404", &[])
            .rule(Rule::of(Op::Create).act(Act::Late(1_500)).reply(Reply::Drop))
            .rule(delete().times(5).act(Act::Never).reply(Reply::Page(404))),
    ]
}
