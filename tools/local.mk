# filled in by this folder's part
