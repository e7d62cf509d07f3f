"""The inputs in words: what each is, and what a leak of it means for evaluation."""

WORDS = {
    "sensors": "which sensors are missing",
    "position": "the position in the recording",
    "time_of_day": "the time of day",
    "date": "the date",
    "recording": "length, rate or order of the recording",
    "columns": "a further column of recordings.csv",
    "quality": "a quality column",
    "channel_mean": "the mean of one channel",
    "together": "all of these but the channel's mean together",
}
"""Each input in a sentence."""

MEANING = {
    "sensors": "drop-outs come with some labels, so a model can read them instead of motion: use the sensors that all "
    "recordings have, or drop sensors at random in training",
    "position": "labels follow the course of the recording, as in a script: a decoder or a long context can learn the "
    "protocol, and such figures will not hold in free behaviour; judge single windows, or test on other protocols",
    "time_of_day": "labels follow the hour: light, warmth or heading can stand in for behaviour; leave out channels "
    "that carry the hour, and test on other hours",
    "date": "labels follow the day, and with it the set-up and the weather: hold out whole days beside subjects",
    "recording": "length, rate or order of the recordings differ by label: they were cut or arranged by what they "
    "show, so give a model windows only, and nothing of where a recording begins or ends",
    "columns": "what recordings.csv says of a recording differs by label: hold out whole sources or set-ups, too",
    "quality": "gaps or flags come with some labels: keep these columns from the model, and see whether filled "
    "samples can be told by their smoothness",
    "channel_mean": "one number a window, posture, mounting or place without any motion: a model has to be held "
    "against this figure, not against chance",
    "together": "a label that none of them tells by itself can be read off several",
}
"""What a leak of each input means for evaluation."""
