"""Table of contents: importing this registers every builder that the package brings."""
