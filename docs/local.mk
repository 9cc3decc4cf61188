dist_doc_DATA += %D%/ARCHITECTURE.md %D%/POLICY.md
