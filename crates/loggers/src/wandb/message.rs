//! The messages of a `.wandb` file, with those fields alone that are written here. Names and numbers
//! are those of wandb's `wandb_internal.proto`.

/// One record of the file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// Counts records, from 1.
    #[prost(int64, tag = "1")]
    pub num: i64,
    #[prost(message, optional, tag = "16")]
    pub control: Option<Control>,
    #[prost(oneof = "What", tags = "2, 3, 6, 8, 17, 18, 21, 26")]
    pub what: Option<What>,
}

/// How a record is handled.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Control {
    /// Where `wandb sync` looks for the answer. It waits for one to the run's own record and to that
    /// of its end, for ever if they name no slot.
    #[prost(string, tag = "4")]
    pub mailbox_slot: String,
}

/// What a record holds.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum What {
    #[prost(message, tag = "2")]
    History(History),
    #[prost(message, tag = "3")]
    Summary(Summary),
    #[prost(message, tag = "6")]
    Files(Files),
    #[prost(message, tag = "8")]
    Artifact(Artifact),
    #[prost(message, tag = "17")]
    Run(Run),
    #[prost(message, tag = "18")]
    Exit(Exit),
    #[prost(message, tag = "21")]
    Header(Header),
    #[prost(message, tag = "26")]
    Environment(Environment),
}

/// A value by its name, as JSON: of the config, of a step, of the summary.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    /// For the config, where a name has one part.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Elsewhere: the names that lead to the value.
    #[prost(string, repeated, tag = "2")]
    pub nested_key: Vec<String>,
    #[prost(string, tag = "16")]
    pub value_json: String,
}

/// One step.
#[derive(Clone, PartialEq, prost::Message)]
pub struct History {
    #[prost(message, repeated, tag = "1")]
    pub item: Vec<Item>,
    #[prost(message, optional, tag = "2")]
    pub step: Option<HistoryStep>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HistoryStep {
    #[prost(int64, tag = "1")]
    pub num: i64,
}

/// The last value of each name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub update: Vec<Item>,
}

/// Files to upload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Files {
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FilesItem>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct FilesItem {
    /// Relative to `files/`.
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(enumeration = "Policy", tag = "2")]
    pub policy: i32,
    #[prost(enumeration = "FileType", tag = "3")]
    pub kind: i32,
}

/// When a file is uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Policy {
    Now = 0,
    End = 1,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum FileType {
    Other = 0,
    Wandb = 1,
    Media = 2,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Run {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(string, tag = "2")]
    pub entity: String,
    #[prost(string, tag = "3")]
    pub project: String,
    #[prost(message, optional, tag = "4")]
    pub config: Option<Config>,
    #[prost(string, tag = "8")]
    pub display_name: String,
    #[prost(string, repeated, tag = "10")]
    pub tags: Vec<String>,
    #[prost(message, optional, tag = "17")]
    pub start_time: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Config {
    #[prost(message, repeated, tag = "1")]
    pub update: Vec<Item>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// The first record of a file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Header {
    #[prost(message, optional, tag = "1")]
    pub version_info: Option<VersionInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct VersionInfo {
    #[prost(string, tag = "1")]
    pub producer: String,
}

/// Where the run runs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Environment {
    #[prost(string, tag = "1")]
    pub os: String,
    #[prost(message, optional, tag = "3")]
    pub started_at: Option<Timestamp>,
    #[prost(string, tag = "6")]
    pub program: String,
}

/// The last record of a run that has ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exit {
    #[prost(int32, tag = "1")]
    pub exit_code: i32,
    /// Seconds.
    #[prost(int32, tag = "2")]
    pub runtime: i32,
}

/// A folder of files that is kept, version by version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Artifact {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(string, tag = "3")]
    pub entity: String,
    #[prost(string, tag = "4")]
    pub kind: String,
    #[prost(string, tag = "5")]
    pub name: String,
    /// Of the manifest, in hexadecimal.
    #[prost(string, tag = "6")]
    pub digest: String,
    /// JSON.
    #[prost(string, tag = "8")]
    pub metadata: String,
    #[prost(bool, tag = "9")]
    pub user_created: bool,
    #[prost(string, repeated, tag = "11")]
    pub aliases: Vec<String>,
    #[prost(message, optional, tag = "12")]
    pub manifest: Option<Manifest>,
    #[prost(bool, tag = "14")]
    pub finalize: bool,
    /// Of this version.
    #[prost(string, tag = "15")]
    pub client_id: String,
    /// Of all versions of the name.
    #[prost(string, tag = "16")]
    pub sequence_client_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Manifest {
    #[prost(int32, tag = "1")]
    pub version: i32,
    #[prost(string, tag = "2")]
    pub storage_policy: String,
    #[prost(message, repeated, tag = "3")]
    pub storage_policy_config: Vec<PolicyItem>,
    #[prost(message, repeated, tag = "4")]
    pub contents: Vec<ManifestEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct PolicyItem {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value_json: String,
}

/// One file of an artifact.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ManifestEntry {
    /// Relative to the artifact.
    #[prost(string, tag = "1")]
    pub path: String,
    /// MD5 of the file, in base64.
    #[prost(string, tag = "2")]
    pub digest: String,
    #[prost(int64, tag = "4")]
    pub size: i64,
    /// Where it lies, absolute.
    #[prost(string, tag = "6")]
    pub local_path: String,
    /// Whether the uploader is to make no copy of it in its cache.
    #[prost(bool, tag = "8")]
    pub skip_cache: bool,
}
