"""The generator: counselling questions and answers from a language model, in exact numbers per topic.

`plan` decides what is wanted, `generate` gets it (the only part that talks to the network), `build` judges it.
"""
