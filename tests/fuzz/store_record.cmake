towline_fuzz(store_record syncfs)
