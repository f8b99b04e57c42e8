"""Interview transcripts to question-and-answer rounds, by a model on this machine.

`pages` cuts the transcripts, `generate` asks for one round per page, `build` judges the rounds. Transcripts are
private: no text of one is written anywhere; pages are offsets, keys are hashes, messages name neither.
"""
