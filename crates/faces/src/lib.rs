//! Drawn faces with a visible age, the data set of the embedded model
