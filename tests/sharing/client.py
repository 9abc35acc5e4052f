"""The official client of the Hugging Face Hub with the tests' Hub: reads what ddpo pushed, and pushes the same.

    client.py REPOSITORY FOLDER OTHER

HF_ENDPOINT and HF_TOKEN say where and who. Fetches REPOSITORY, compares it with FOLDER byte by byte, reads its card,
and pushes FOLDER to OTHER, which shows that the Hub of the tests takes from others what it takes from ddpo.
"""

import json
import pathlib
import sys

from huggingface_hub import HfApi, ModelCard, snapshot_download


def files(folder):
    found = (path for path in pathlib.Path(folder).rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def main():
    repository, folder, other = sys.argv[1:]
    api = HfApi()
    fetched = files(snapshot_download(repository))
    expected = files(folder)
    assert fetched == expected, sorted(fetched.keys() ^ expected.keys())
    info = api.model_info(repository)
    card = ModelCard.load(repository)
    print(json.dumps({"private": info.private, "card": card.data.to_dict(), "title": card.text.strip().splitlines()[0]}))
    api.create_repo(other, exist_ok=True)
    api.upload_folder(repo_id=other, folder_path=folder, commit_message="by the official client")
    assert files(snapshot_download(other)) == expected


if __name__ == "__main__":
    main()
