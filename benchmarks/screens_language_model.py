"""Makes stages/screens/data/language_model.arrow: py3langid's model for the default languages, ready to be used.

`python -m benchmarks.screens_language_model`. The package keeps the model of all its languages in LZMA, which takes
0.7 s of CPU to unpack and convert at the start of every process; this file takes 0.02. Run it again with a new
py3langid; tests/screens/test_language.py compares the two.
"""

from __future__ import annotations

import pyarrow as pa

from stages.files import atomic
from stages.params import Language
from stages.screens import language


def main() -> None:
    model = language.from_package(Language().languages)
    arrays = {name: pa.array(getattr(model, name).reshape(-1)) for name in language.ARRAYS}
    arrays["codes"] = pa.array(model.codes, pa.string())
    lists = [pa.ListArray.from_arrays([0, len(values)], values) for values in arrays.values()]
    batch = pa.RecordBatch.from_arrays(lists, names=list(arrays))
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 19))
    with atomic(language.STORED) as part, pa.ipc.new_file(str(part), batch.schema, options=options) as file:
        file.write_batch(batch)
    print(f"{language.STORED}: {language.STORED.stat().st_size:,} bytes, {len(model.codes)} languages")


if __name__ == "__main__":
    main()
