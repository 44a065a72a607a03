"""What Meterhouse is about, in pure code: no clock, no I/O, no framework. docs/glossary.md has its words."""
