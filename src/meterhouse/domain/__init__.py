"""What Meterhouse is about, in pure code: no clock, no input or output, no framework. File names are the glossary."""
