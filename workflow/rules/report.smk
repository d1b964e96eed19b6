ARRHENIUS = [f"{RESULTS}/{material}/arrhenius.json" for material in MATERIALS]
FOLDERS = " ".join(f"{RESULTS}/{material}" for material in MATERIALS)
PLOTTED = [f"{RESULTS}/{material.folder}" for material in plotted(CAMPAIGN)]
PLOTS = [f"{RESULTS}/plots/{name}" for name in plot_files(CAMPAIGN)]


rule table:
    input:
        ARRHENIUS,
    output:
        f"{RESULTS}/conductivity.csv",
    params:
        folders=FOLDERS,
    log:
        f"{WORK}/logs/table.log",
    benchmark:
        f"{WORK}/benchmarks/table.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "halmd table {params.folders} --output {output} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"


rule plots:
    input:
        [f"{folder}/arrhenius.json" for folder in PLOTTED],
    output:
        PLOTS,
    params:
        folders=" ".join(PLOTTED),
        folder=f"{RESULTS}/plots",
        # A function, because braces in a label are no wildcards.
        settings=lambda _: plot_options(CAMPAIGN),
    log:
        f"{WORK}/logs/plots.log",
    benchmark:
        f"{WORK}/benchmarks/plots.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "halmd plots {params.folders} --output {params.folder} {params.settings} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"


rule report:
    input:
        ARRHENIUS,
    output:
        f"{RESULTS}/report.html",
    params:
        folders=FOLDERS,
    log:
        f"{WORK}/logs/report.log",
    benchmark:
        f"{WORK}/benchmarks/report.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    shell:
        "halmd report {params.folders} --output {output} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"
