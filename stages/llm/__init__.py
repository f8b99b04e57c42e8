"""Asking a language model, and keeping what it answers: shared by `synthesize`, `paraphrase` and `judge`.

The room has the name of the thing it talks to. Its parts, from pure to not:

- `prompts`: prompt files, checked and filled in; `request`: one request and its key; `reply`: from answer to text;
- `rounds`: which slots are filled by the stored answers, and which requests would fill the rest;
- `scores`: the judge's seven metrics; `copied`: runs of words that two texts share;
  `prose`: texts as words;
- `answers`: the sorted out and the append-only spool; `budget`: what may still be spent;
- `endpoint`: may we talk to this address; `client`: HTTP, the only module that imports an HTTP library;
- `crew`: many requests at once, with retries; `session`: the three modes, from params to the out.
"""
