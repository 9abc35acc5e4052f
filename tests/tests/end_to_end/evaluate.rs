//! `ddpo evaluate`: draws the same noise from several checkpoints. Interruptions do not change the bytes.

use ddpo_tests::{Workshop, run, tree};
use std::fs;
use std::path::Path;

/// Two rewards, both etas, two seeds.
const ALL: [&str; 10] = [
    "--reward=jpeg compressibility",
    "--reward=0.5*jpeg compressibility - jpeg incompressibility",
    "--seeds=5,6",
    "--num-samples=6",
    "--num-inference-steps=4",
    "--batch-size=4",
    "--path-samples=3",
    "--threads=1",
    "--device=cpu",
    "--eta=1,0",
];

fn evaluate<'a>(out: &'a str, checkpoints: &[&'a str]) -> Vec<&'a str> {
    [&["evaluate"], checkpoints, &ALL[..], &["--out", out]].concat()
}

/// Returns the cells of a table.
fn rows(workshop: &Workshop, name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(workshop.path(name)).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Counts the parts under a folder, while a process may write to it.
fn parts(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.path().is_dir() {
            true => parts(&entry.path()),
            false => usize::from(name.starts_with("00") && name.ends_with(".json")),
        }
    };
    entries.map(count).sum()
}

#[test]
fn a_run_folder_means_its_base_model_and_all_its_checkpoints() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--ema-decay=0.9"])).succeeded();
    // Reward, seeds, steps and batches are those of the run.
    workshop.ddpo(&["evaluate", "run", "--out=out", "--eta=1", "--threads=1"]).succeeded();
    let table = rows(&workshop, "out/rewards.csv");
    assert_eq!(
        table[0],
        [
            "checkpoint",
            "eta",
            "seed",
            "sample",
            "jpeg compressibility",
            "jpeg compressibility/jpeg_kilobytes"
        ]
    );
    let of =
        |name: &str| -> Vec<&Vec<String>> { table.iter().filter(|row| row[0] == name).collect() };
    for (epoch, name) in ["pretrained", "epoch-000001", "epoch-000002"].into_iter().enumerate() {
        // The same seeds, weights and averages reproduce the evaluation of the run.
        let own = rows(&workshop, &format!("run/eval/epoch-{epoch:06}.csv"));
        let found: Vec<&str> = of(name).iter().map(|row| row[4].as_str()).collect();
        let expected: Vec<&str> = own[1..].iter().map(|row| row[1].as_str()).collect();
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(table.len(), 1 + 3 * 8);
}

#[test]
fn images_equal_those_of_sample_and_scores_those_of_score() {
    let workshop = Workshop::new();
    workshop.ddpo(&evaluate("out", &["model"])).succeeded();
    for (eta, folder) in [("1", "one"), ("0", "none")] {
        let eta_flag = format!("--eta={eta}");
        let sample = [
            "sample",
            "--ddpm-ckpt=model",
            "--seed=6",
            "--num-samples=6",
            "--threads=1",
            "--device=cpu",
            "--num-inference-steps=4",
            "--batch-size=6",
            "--out",
            folder,
            &eta_flag,
        ];
        workshop.ddpo(&sample).succeeded();
        for sample in 0..6 {
            let ours =
                fs::read(workshop.path(&format!("out/images/model/eta-{eta}/6-{sample:06}.png")));
            let expected = fs::read(workshop.path(&format!("{folder}/{sample:06}.png")));
            assert_eq!(ours.unwrap(), expected.unwrap(), "eta {eta}, sample {sample}");
        }
    }
    let scored = workshop.ddpo(&["score", "--task=jpeg compressibility", "out/images/model/eta-0"]);
    let scored = scored.succeeded().stdout;
    let expected: Vec<&str> =
        scored.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    let table = rows(&workshop, "out/rewards.csv");
    let found: Vec<&str> =
        table.iter().filter(|row| row[1] == "0").map(|row| row[4].as_str()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_last_step_of_the_reward_trajectory_has_the_reward_of_the_image() {
    let workshop = Workshop::new();
    workshop.ddpo(&evaluate("out", &["model"])).succeeded();
    let path = rows(&workshop, "out/reward_trajectory.csv");
    assert_eq!(path[0][..6], ["checkpoint", "eta", "seed", "sample", "step", "timestep"]);
    assert_eq!(path[0].len(), 8);
    assert_eq!(path.len(), 1 + 2 * 3 * 4, "two etas, three samples, four steps");
    let table = rows(&workshop, "out/rewards.csv");
    let ends = path.iter().filter(|row| row[4] == "3");
    // The last step of this schedule is the predicted image, so the rewards are equal.
    for end in ends {
        let image = table.iter().find(|row| row[..4] == end[..4]).unwrap();
        assert_eq!(end[6], image[4], "{end:?}");
    }
    let first: Vec<_> = path.iter().filter(|row| row[4] == "0").map(|row| &row[6]).collect();
    let last: Vec<_> = path.iter().filter(|row| row[4] == "3").map(|row| &row[6]).collect();
    assert_ne!(first, last);
}

#[test]
fn a_killed_evaluation_resumes_to_the_same_bytes() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&[])).succeeded();
    workshop.ddpo(&evaluate("whole", &["run", "model"])).succeeded();
    let whole = tree::read(&workshop.path("whole"));
    let all = parts(&workshop.path("whole/parts"));
    for (number, after) in [0, 1, all / 2, all - 1].into_iter().enumerate() {
        let folder = format!("killed-{number}");
        let mut running = workshop.start(&evaluate(&folder, &["run", "model"]));
        let there = workshop.path(&folder).join("parts");
        running.reaches(|| there.join("asked.json").is_file() && parts(&there) >= after);
        running.kill();
        // The file that a process leaves when it is killed during a write.
        fs::write(workshop.path(&folder).join("parts/.tmp-a1B2c3"), "half").unwrap();
        workshop.ddpo(&evaluate(&folder, &["run", "model"])).succeeded();
        tree::assert_same(&whole, &tree::read(&workshop.path(&folder)));
    }
}

#[test]
fn accepts_additional_checkpoints_and_rejects_other_settings() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&[])).succeeded();
    let last = "run/checkpoints/epoch-000002";
    workshop.ddpo(&evaluate("out", &["model"])).succeeded();
    let image = workshop.path("out/images/model/eta-1/5-000000.png");
    let written = fs::metadata(&image).unwrap().modified().unwrap();
    workshop.ddpo(&evaluate("out", &["model", last])).succeeded();
    assert_eq!(fs::metadata(&image).unwrap().modified().unwrap(), written, "it was drawn again");
    assert_eq!(rows(&workshop, "out/rewards.csv").len(), 1 + 2 * 2 * 12);
    let mut other = evaluate("out", &["model"]);
    other.retain(|flag| !flag.starts_with("--num-inference-steps"));
    other.push("--num-inference-steps=5");
    let ended = workshop.ddpo(&other);
    let message = ended.refused();
    assert!(
        message.contains("\"num_inference_steps\": 4 instead of \"num_inference_steps\": 5"),
        "{message}"
    );
    // If the weights behind a name change, the images are drawn again.
    let weights = workshop.path("model").join(ddpo_tests::workshop::WEIGHTS);
    fs::copy(workshop.path(last).join(ddpo_tests::workshop::WEIGHTS), weights).unwrap();
    workshop.ddpo(&evaluate("out", &["model", last])).succeeded();
    let table = rows(&workshop, "out/rewards.csv");
    let values = |name: &str| {
        table.iter().filter(|row| row[0] == name).map(|row| row[4..].to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(values("model"), values("epoch-000002"));
}

#[test]
fn reads_seeds_from_a_csv_file() {
    let workshop = Workshop::new();
    let with = |out: &str, file: &str| {
        let mut flags = evaluate("out", &["model"]);
        flags.retain(|flag| !flag.starts_with("--seeds") && *flag != "out" && *flag != "--out");
        let (out, file) = (format!("--out={out}"), format!("--seeds-csv={file}"));
        workshop.ddpo(&[&flags[..], &[out.as_str(), file.as_str()]].concat())
    };
    workshop.write("seeds.csv", "name,seed\nfirst,5\nsecond,6\n");
    workshop.ddpo(&evaluate("listed", &["model"])).succeeded();
    with("table", "seeds.csv").succeeded();
    let [listed, table] = ["listed", "table"].map(|name| tree::read(&workshop.path(name)));
    tree::assert_same(&listed, &table);
    // Rows of an evaluation's table, with seed and sample, select single samples.
    workshop.write("few.csv", "sample,seed\n3,6\n0,5\n3,6\n");
    with("few", "few.csv").succeeded();
    let rows = rows(&workshop, "few/rewards.csv");
    let noise: Vec<[&str; 2]> =
        rows[1..3].iter().map(|row| [row[2].as_str(), row[3].as_str()]).collect();
    assert_eq!(noise, [["6", "3"], ["5", "0"]]);
    for (text, expected) in [
        ("seed\nx\n", "row 2: expected a seed"),
        ("sample\n1\n", "expected a column `seed`"),
        ("seed,sample\n1,-1\n", "row 2: expected a sample"),
        ("seed\n", "expected at least one seed"),
    ] {
        workshop.write("bad.csv", text);
        let ended = with("bad", "bad.csv");
        assert!(ended.refused().contains(expected), "{ended}");
    }
}

#[test]
fn rejects_invalid_arguments_in_one_line() {
    let workshop = Workshop::new();
    for (flags, expected) in [
        (vec!["evaluate", "model", "--out=out"], "expected --reward, found none"),
        (vec!["evaluate", "model", "--out=out", "--reward=beauty"], "--reward = beauty"),
        (
            vec!["evaluate", "nowhere", "--out=out", "--reward=jpeg compressibility"],
            "checkpoint `nowhere`",
        ),
        (
            vec!["evaluate", "model", "--out=out", "--reward=jpeg compressibility", "--eta=2"],
            "--eta = 2",
        ),
        (
            vec![
                "evaluate",
                "model",
                "--out=out",
                "--reward=jpeg compressibility",
                "--num-samples=0",
            ],
            "--num-samples = 0: expected 1 to 2^32 - 1",
        ),
        (vec!["report", "model"], "expected a run's folder"),
    ] {
        let ended = workshop.ddpo(&flags);
        assert!(ended.refused().contains(expected), "{flags:?}: {ended}");
    }
}
