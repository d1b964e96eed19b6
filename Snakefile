# The workflow lives in workflow/; this file lets `snakemake` run from the top of the repository.
include: "workflow/Snakefile"


# Snakemake takes no default target from an included file.
workflow.default_target = "all"
