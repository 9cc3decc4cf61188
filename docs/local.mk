dist_doc_DATA += %D%/ARCHITECTURE.md %D%/KSM-AND-SWAP.md %D%/POLICY.md
