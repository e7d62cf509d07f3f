"""Labels that were made with an annotation tool, put onto the recordings of a data set."""
