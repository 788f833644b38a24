//! A database that goes back to before an upload, under a process that lives on: what is at the provider is found there,
//! and paid once.

use std::time::Duration;

use liar::{Entry, Fate, Liar, Op, Reply, Rule, Settings};
use testkit::Fleet;

const PATIENCE: Duration = Duration::from_secs(60);
const OPEN: &str = "SELECT count(*) FROM batches WHERE state = 'open'";
/// The older row: planned, and due at a time.
const PLANNED: &str = "UPDATE batches SET state = 'planned', version = 1, file_id = NULL, create_deadline = NULL, provider_id = NULL, \
     remote_status = NULL, remote_created_at = NULL WHERE number = 1 AND job_id = (SELECT min(id::text)::uuid FROM batch_jobs)";

/// A submitter that brings batches to a stand-in, where they stay open.
struct World {
    _folder: tempfile::TempDir,
    liar: Liar,
    held: Settings,
    fleet: Fleet,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let liar = Liar::start(folder.path());
        let held = Settings { fate: Fate { held: true, ..Fate::default() }, ..Settings::default() };
        liar.set(&held);
        let home = crate::against(&liar.base_url());
        let mut fleet = Fleet::new(home);
        fleet.start("submitter", "submitter");
        Self { _folder: folder, liar, held, fleet }
    }

    /// One more batch at the provider.
    fn submit(&self) {
        // What is on its way already isn't asked again.
        let records = u32::try_from(self.liar.batches()).unwrap() + 1;
        let files = testkit::write_records(self.fleet.home.folder(), records, 100);
        let _ = self.fleet.home.run(&["batch", "submit", "product-labeling", "--files", &files]).exits(0);
        self.fleet.until(OPEN, records.into(), PATIENCE);
    }

    /// Everything is as the provider has it, which was asked for no second upload and no second create.
    fn goes_back_and_finds(&self, uploads: usize, due: &str) {
        let open = self.fleet.number(OPEN);
        self.fleet.change(PLANNED);
        self.fleet.change(&format!(
            "UPDATE orders SET lane = 'submit', seq = 1, fence = 1, sends = 0, lease_until = NULL, due_at = {due}, \
             send_at = {due} WHERE entity_id IN (SELECT id FROM batches WHERE state = 'planned')"
        ));
        assert_eq!(self.fleet.number(OPEN), open - 1);
        self.fleet.until(OPEN, open, PATIENCE);
        let ledger = self.liar.ledger();
        let asked = |wanted: Op| {
            ledger.iter().filter(|entry| matches!(entry, Entry::Request { op, .. } if *op == wanted)).count()
        };
        assert_eq!((asked(Op::Upload), asked(Op::Create)), (uploads, uploads));
        assert_eq!(self.fleet.number("SELECT count(*) FROM batches WHERE updated_by = 'adopt'"), 1);
    }
}

#[test]
fn what_the_process_itself_uploaded_is_found() {
    let world = World::new();
    world.submit();
    world.goes_back_and_finds(1, "now()");
}

/// The next try comes sooner than the next look at the list.
#[test]
fn an_upload_whose_reply_is_lost_is_found_by_the_next_try() {
    let world = World::new();
    world.submit();
    world.liar.tell(Rule::of(Op::Upload).reply(Reply::Drop));
    world.submit();
    let files = world.liar.ledger().iter().filter(|entry| matches!(entry, Entry::File { .. })).count();
    assert_eq!((files, world.liar.batches()), (2, 2));
}

#[test]
fn what_another_process_uploaded_is_found_even_if_the_list_was_late_with_it() {
    let mut world = World::new();
    world.submit();
    world.fleet.kill("submitter");
    let first = world.liar.ledger().into_iter().find_map(|entry| match entry {
        Entry::File { id, .. } => Some(id),
        _ => None,
    });
    world.liar.set(&Settings { hidden_file: first, ..world.held.clone() });
    // It sees the whole list but for the file, and newer ones.
    world.fleet.start("submitter", "submitter");
    world.submit();
    world.submit();
    world.submit();
    world.liar.set(&world.held);
    // When the last look isn't fresh any more.
    world.goes_back_and_finds(4, "now() + interval '2 seconds'");
}
