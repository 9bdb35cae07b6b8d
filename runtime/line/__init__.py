"""The line: frames from cameras, checks, deadlines, results, in order and exactly one each."""
