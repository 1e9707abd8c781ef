"""Every error that a user can cause.

TilthError
├── ParamsError      a value in params.yaml, or a parameter that does not fit the data
├── SourceError      a source of images that is missing, empty, malformed or out of its root
├── ImageError       one image that cannot become canonical pixels; carries a reason code
├── ArtifactError    a file between stages that is missing, torn or of another kind
├── VerdictError     a gate that refuses to let the data or the model through
├── SplitError       rows that cannot be divided as asked
├── DecisionError    a line in decisions/ that cannot be applied
└── BusyError        another run holds what this one needs
"""


class TilthError(Exception):
    """What went wrong, where, and what was expected, in one message for a person."""


class ParamsError(TilthError):
    pass


class SourceError(TilthError):
    pass


class ImageError(TilthError):
    """`reason` is a stable code for tables, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self):
        return ImageError, (self.reason, self.detail)


class ArtifactError(TilthError):
    pass


class VerdictError(TilthError):
    pass


class SplitError(TilthError):
    pass


class DecisionError(TilthError):
    pass


class BusyError(TilthError):
    pass
