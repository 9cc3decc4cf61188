dist_doc_DATA += %D%/ARCHITECTURE.md
