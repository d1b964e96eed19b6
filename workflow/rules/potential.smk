rule potential:
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
        "halmd potential '{params.name}' --output {params.folder} "
        "--evaluator {params.evaluator} > {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"
