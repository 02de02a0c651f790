towline_fuzz(snapshot_update syncfs)
