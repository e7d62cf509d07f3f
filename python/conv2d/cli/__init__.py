"""The command line. One file a command or group, imported when it is called; what is heavy is imported inside it."""
