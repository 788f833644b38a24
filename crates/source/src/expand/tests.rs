use super::*;

#[expect(clippy::disallowed_methods, reason = "a test makes its files")]
fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "{}").unwrap();
    }
    folder
}

fn expand_in(folder: &tempfile::TempDir, patterns: &[&str]) -> Result<Vec<String>, String> {
    let root = folder.path().display().to_string();
    let patterns: Vec<String> = patterns.iter().map(|pattern| format!("{root}/{pattern}")).collect();
    let names = |files: Vec<PathBuf>| {
        files.iter().map(|file| file.strip_prefix(&root).unwrap().display().to_string()).collect()
    };
    expand(&patterns).map(names).map_err(|error| error.to_string().replace(&root, "ROOT"))
}

#[test]
fn files_come_sorted_and_once() {
    let folder = folder(&["b.json", "a.json", "c.txt", "deep/er/d.json"]);
    let found = expand_in(&folder, &["*.json", "a.json", "./b.json", "**/*.json"]);
    assert_eq!(found.unwrap(), ["a.json", "b.json", "deep/er/d.json"]);
}

#[test]
fn folders_beside_files_are_passed_over() {
    let folder = folder(&["a.json", "deep/b.json"]);
    assert_eq!(expand_in(&folder, &["*"]).unwrap(), ["a.json"]);
}

#[test]
fn a_file_whose_name_looks_like_a_pattern_is_taken() {
    let folder = folder(&["issue[1].json"]);
    assert_eq!(expand_in(&folder, &["issue[1].json"]).unwrap(), ["issue[1].json"]);
}

#[test]
fn one_pattern_without_a_match_fails_the_lot() {
    let folder = folder(&["a.json"]);
    assert!(expand_in(&folder, &["a.json", "b*.json"]).is_err());
}

#[test]
fn each_refusal_says_what_and_where() {
    let folder = folder(&["data/a.json"]);
    let cases = [
        ("data/*.yaml", "no file matches `ROOT/data/*.yaml`; looked in ROOT/data"),
        ("data/b.json", "no file matches `ROOT/data/b.json`; looked in ROOT/data"),
        (
            "nonexistent/*.json",
            "no file matches `ROOT/nonexistent/*.json`; looked in ROOT/nonexistent, which doesn't exist",
        ),
        (
            "data/",
            "`ROOT/data/` matches folders and no file; to take the files inside, write `ROOT/data/*.json`",
        ),
        ("d*", "`ROOT/d*` matches folders and no file; to take the files inside, write `ROOT/d*/*.json`"),
    ];
    for (pattern, message) in cases {
        assert_eq!(expand_in(&folder, &[pattern]).unwrap_err(), message);
    }
}

#[test]
fn a_malformed_pattern_says_which_character() {
    let error = expand(&["data/[a.json".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "`data/[a.json` is not a pattern: invalid range pattern (character 6)");
}

#[test]
fn a_relative_pattern_names_the_absolute_folder() {
    let error = expand(&["nonexistent-*.json".to_owned()]).unwrap_err().to_string();
    let here = std::env::current_dir().unwrap();
    assert_eq!(error, format!("no file matches `nonexistent-*.json`; looked in {}", here.display()));
}
