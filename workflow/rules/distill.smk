# OMP_NUM_THREADS is set before Python starts: every step runs processes of one thread each.


rule snapshots:
    input:
        lambda w: needed_by_snapshots(SETTINGS, w.stage),
    output:
        f"{FOLDER}/{{stage}}.extxyz",
    log:
        f"{FOLDER}/logs/snapshots-{{stage}}.log",
    benchmark:
        f"{FOLDER}/benchmarks/snapshots-{{stage}}.tsv"
    threads: SETTINGS.workers
    resources:
        mem_mb=1000 + 1000 * SETTINGS.workers,
        runtime=1440,
    shell:
        "OMP_NUM_THREADS=1 halmd snapshots {RECIPE:q} {wildcards.stage} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"


rule label:
    input:
        f"{FOLDER}/{{stage}}.extxyz",
    output:
        f"{FOLDER}/labels/{{stage}}/labelled.json",
    log:
        f"{FOLDER}/logs/label-{{stage}}.log",
    benchmark:
        f"{FOLDER}/benchmarks/label-{{stage}}.tsv"
    threads: SETTINGS.workers
    resources:
        mem_mb=1000 + 3000 * SETTINGS.workers,
        runtime=2880,
    shell:
        "OMP_NUM_THREADS=1 halmd label {RECIPE:q} {wildcards.stage} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"


rule fit:
    input:
        lambda w: needed_by_fit(SETTINGS, w.student),
    output:
        f"{FOLDER}/{{student}}/{{model}}.model",
    log:
        f"{FOLDER}/logs/fit-{{student}}-{{model}}.log",
    benchmark:
        f"{FOLDER}/benchmarks/fit-{{student}}-{{model}}.tsv"
    threads: SETTINGS.workers
    resources:
        mem_mb=2000 + 2000 * SETTINGS.workers,
        runtime=2880,
    shell:
        "OMP_NUM_THREADS=1 halmd fit {RECIPE:q} {wildcards.student} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"


rule validate_potential:
    input:
        needed_by_validation(SETTINGS),
    output:
        VALIDATION,
    params:
        # Other bars are judged again; nothing else is made again.
        bars=SETTINGS.bars.model_dump_json(),
    log:
        f"{FOLDER}/logs/validate-potential.log",
    benchmark:
        f"{FOLDER}/benchmarks/validate-potential.tsv"
    threads: SETTINGS.workers
    resources:
        mem_mb=2000 + 2000 * SETTINGS.workers,
        runtime=1440,
    shell:
        "OMP_NUM_THREADS=1 halmd validate-potential {RECIPE:q} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"
