towline_fuzz(tar_splitter syncfs)
