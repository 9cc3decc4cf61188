dist_doc_DATA += %D%/ARCHITECTURE.md
dist_doc_DATA += %D%/KSM-AND-SWAP.md
dist_doc_DATA += %D%/ARCHITECTURE.md %D%/POLICY.md
