use super::*;

#[expect(clippy::disallowed_methods, reason = "a test makes its files")]
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, name) in files {
        let rest = "version=1\nmodel='m'\nendpoint='/v1/responses'\nmax_output_tokens=1\nprompt='p'\n";
        std::fs::write(folder.path().join(file), format!("name='{name}'\n{rest}")).unwrap();
    }
    folder
}

fn refusal(name: &str, folder: &tempfile::TempDir) -> String {
    let root = format!("{}/", folder.path().display());
    resolve(name, Some(folder.path())).unwrap_err().to_string().replace(&root, "")
}

#[test]
fn a_name_is_built_in_or_a_file_in_the_folder_or_a_path() {
    let folder = folder(&[("mine.toml", "mine"), ("odd.toml", "other")]);
    assert_eq!(resolve("planner", Some(folder.path())).unwrap().name, "planner");
    assert_eq!(resolve("planner", None).unwrap().name, "planner");
    assert_eq!(resolve("mine", Some(folder.path())).unwrap().name, "mine");
    let path = folder.path().join("odd.toml").display().to_string();
    assert_eq!(resolve(&path, None).unwrap().name, "other");
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones_and_the_nearest() {
    let folder = folder(&[("mine.toml", "mine")]);
    assert_eq!(
        refusal("product-labelling", &folder),
        "no processor is called `product-labelling`; did you mean `product-labeling`?; known are product-labeling, \
         planner, coder, fixer, reviewer, mine, or give the path of a .toml file"
    );
    assert_eq!(
        refusal("xyz", &folder),
        "no processor is called `xyz`; known are product-labeling, planner, coder, fixer, reviewer, mine, or give the \
         path of a .toml file"
    );
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let folder = folder(&[]);
    let path = folder.path().join("gone.toml").display().to_string();
    assert_eq!(
        refusal(&path, &folder),
        "the processor file gone.toml can't be read; check the path and its permissions"
    );
}

#[test]
fn one_name_never_means_two_processors() {
    let folder = folder(&[("planner.toml", "planner"), ("odd.toml", "other")]);
    assert_eq!(
        refusal("planner", &folder),
        "planner.toml: a built-in processor has this name; rename the file and its `name`, or give its path"
    );
    assert_eq!(
        refusal("odd", &folder),
        "odd.toml, key `name`: `other`, and the file is called odd.toml; make them the same"
    );
}
