"""The command line: one file per command, which parses, calls and prints.

Files here import what takes time to import inside functions, so that ``molrecon --help`` answers
at once.
"""
