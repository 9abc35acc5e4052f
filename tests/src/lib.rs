//! End-to-end tests: real processes, goldens, parity with Python
