messages AS m
