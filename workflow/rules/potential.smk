rule potential:
    input:
        # A model file of the user's own: another one under the same name makes everything again.
        [CAMPAIGN.potential] if Path(CAMPAIGN.potential).is_file() else [],
    output:
        POTENTIAL,
    params:
        name=CAMPAIGN.potential,
        evaluator=CAMPAIGN.evaluator,
        folder=f"{WORK}/potential",
    log:
        f"{WORK}/logs/potential.log",
    benchmark:
        f"{WORK}/benchmarks/potential.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "halmd potential {params.name:q} --output {params.folder} "
        "--evaluator {params.evaluator} > {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"
