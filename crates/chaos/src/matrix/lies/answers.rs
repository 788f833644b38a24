//! Lies in result files: torn downloads, and lines that are missing, doubled, broken or nobody's.

use liar::{End, Fate, LineFault, Op, Reply, Rule};

use super::Lie;

const COLLECT: &[&str] = &["provider.download", "spool.rename", "store.settle_lines", "store.collect"];

pub(super) fn lies() -> Vec<Lie> {
    let download =
        |name, times, reply| Lie::new(name, COLLECT).rule(Rule::of(Op::Content).times(times).reply(reply));
    let line = |name, fault| {
        let fate = Fate { lines: vec![(1, fault)], ..Fate::default() };
        Lie::new(name, COLLECT).rule(Rule::of(Op::Create).fate(fate)).with("BATCH_MAX_REQUESTS", "2")
    };
    let server_error = Reply::Error { status: 500, code: None, retry_after: None };
    let gone = Reply::Error { status: 404, code: None, retry_after: None };
    vec![
        download("downloads are torn at the first byte", 5, Reply::CutWire(0)),
        download("downloads are torn in a line", 5, Reply::CutWire(333)),
        download("downloads fail", 5, server_error),
        download("downloads are dropped", 5, Reply::Drop),
        download("the page of a proxy in place of a file", 3, Reply::Page(200))
            .expect(|expected| expected.failures = 3),
        download("nothing in place of a file", 3, Reply::CutJson(0)).expect(|expected| expected.failures = 3),
        download("noise in place of a file", 3, Reply::Garbage).expect(|expected| expected.failures = 3),
        // A download without a length that breaks off looks whole.
        download("files that end in a line", 3, Reply::CutJson(333)).expect(|expected| expected.failures = 3),
        // Without counts an end is believed at the fifth look, and then its files have two more.
        download("nothing is counted, and files end in a line", 12, Reply::CutJson(333))
            .settings(super::odd())
            .expect(|expected| expected.failures = 6),
        download("a line stands in both files, and the output comes empty", 1, Reply::CutJson(0))
            .rule(
                Rule::of(Op::Create)
                    .times(0)
                    .fate(Fate { lines: vec![(1, LineFault::Both)], ..Fate::default() }),
            )
            .expect(|expected| expected.failures = 1),
        // What didn't run stands in the error file, and makes up the number.
        download("an output file of a batch that expired comes empty", 1, Reply::CutJson(0))
            .rule(Rule::of(Op::Create).times(0).fate(Fate { end: End::Expires(1), ..Fate::default() }))
            .with("BATCH_MAX_REQUESTS", "2")
            .expect(|expected| (expected.attempts, expected.failures) = (2, 1)),
        download("a file is unknown for two looks", 2, gone.clone()).expect(|expected| expected.failures = 2),
        download("files are gone", 0, gone)
            .expect(|expected| {
                (expected.files_gone, expected.failures) = (true, 4);
                expected.parked.insert("files_gone");
            })
            .parks(6),
        download("the page of a proxy in place of every file", 0, Reply::Page(200))
            .expect(|expected| {
                (expected.files_gone, expected.failures) = (true, 4);
                expected.parked.insert("files_gone");
            })
            .parks(6),
        Lie::new("the page of a proxy in place of an output file, beside an error file", COLLECT)
            .rule(Rule::of(Op::Create).times(0).fate(Fate {
                page: true,
                lines: vec![(1, LineFault::Http(400))],
                ..Fate::default()
            }))
            .with("BATCH_MAX_REQUESTS", "2")
            .expect(|expected| {
                expected.failures = 4;
                expected.parked.insert("files_gone");
            })
            .parks(3),
        line("a line failed, and goes out again", LineFault::Http(500))
            .expect(|expected| expected.attempts = 2),
        line("a line was refused for now", LineFault::Http(429)).expect(|expected| expected.attempts = 2),
        line("a line was refused", LineFault::Http(400)).expect(|expected| expected.may_fail = 1),
        // Where results are lacking, files are fetched again, until they are believed.
        line("a line is missing", LineFault::Missing)
            .expect(|expected| (expected.may_fail, expected.failures) = (1, 4)),
        line("a line is there twice", LineFault::Twice),
        line("an answer beside nulls", LineFault::Odd),
        line("a line is torn", LineFault::Torn)
            .expect(|expected| (expected.may_fail, expected.failures) = (1, 4)),
        line("a line is noise", LineFault::Noise)
            .expect(|expected| (expected.may_fail, expected.failures) = (1, 4)),
        line("a line has status 0", LineFault::StatusZero).expect(|expected| expected.may_fail = 1),
        line("an answer breaks the schema", LineFault::BadAnswer).expect(|expected| expected.may_fail = 1),
        line("a line is missing, and is paid for again", LineFault::Missing)
            .with("BATCH_RETRY_PAID", "true")
            .expect(|expected| {
                (expected.retry_paid, expected.attempts, expected.failures) = (true, 2, 4);
            }),
        line("a line is torn, and is paid for again", LineFault::Torn)
            .with("BATCH_RETRY_PAID", "true")
            .expect(|expected| {
                (expected.retry_paid, expected.attempts, expected.failures) = (true, 2, 4);
            }),
        Lie::new("answers to nobody's request", COLLECT)
            .rule(Rule::of(Op::Create).times(0).fate(Fate { strangers: 2, ..Fate::default() })),
    ]
}
