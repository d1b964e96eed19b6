rule diffusion:
    input:
        trajectory=f"{RESULTS}/{RUN}/trajectory.h5",
        record=f"{RESULTS}/{RUN}/run.json",
    output:
        f"{RESULTS}/{RUN}/transport.json",
    params:
        temperature_K=lambda w: f"{TEMPERATURES_K[w.temperature]:.12g}",
        settings=options(CAMPAIGN.diffusion),
    log:
        f"{WORK}/logs/{RUN}/diffusion.log",
    benchmark:
        f"{WORK}/benchmarks/{RUN}/diffusion.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "OMP_NUM_THREADS={threads} halmd diffusion {input.trajectory} --run {input.record} "
        "--output {output} --temperature-K {params.temperature_K} {params.settings} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"


rule arrhenius:
    input:
        lambda w: run_files(w.material, "transport.json"),
    output:
        f"{RESULTS}/{{material}}/arrhenius.json",
    params:
        settings=options(CAMPAIGN.arrhenius),
    log:
        f"{WORK}/logs/{{material}}/arrhenius.log",
    benchmark:
        f"{WORK}/benchmarks/{{material}}/arrhenius.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "OMP_NUM_THREADS={threads} halmd arrhenius {input} --output {output} {params.settings} "
        "> {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"
