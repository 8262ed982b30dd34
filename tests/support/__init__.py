"""What tests of several parts share: real servers, topics, processes."""
